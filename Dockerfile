# Builds the agent and puts it, alone, on a small base; runs as nobody in particular and writes nothing.
#
#   docker build -t forebay:0.1.0 .
#   docker run -p 4317:4317 -p 4318:4318 -e FOREBAY_BACKEND=tempo:4317 forebay:0.1.0

FROM rust:1.95-bookworm AS build
WORKDIR /src
# Without rustup's components of rust-toolchain.toml, which only checks need.
RUN rustup show active-toolchain | cut -d ' ' -f 1 > /toolchain
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    RUSTUP_TOOLCHAIN="$(cat /toolchain)" cargo build --release --locked -p forebay \
    && cp target/release/forebay /forebay

FROM debian:bookworm-slim
# To tell the backends' certificates by.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /forebay /usr/local/bin/forebay
COPY config /etc/forebay
# config/forebay.yaml listens on this.
ENV FOREBAY_LISTEN=0.0.0.0
USER 65532:65532
# OTLP over gRPC and HTTP, metrics and the page, the health check.
EXPOSE 4317 4318 8888 13133
ENTRYPOINT ["/usr/local/bin/forebay"]
CMD ["--config", "/etc/forebay/forebay.yaml"]
