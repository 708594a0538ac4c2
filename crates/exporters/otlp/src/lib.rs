//! The otlp_grpc and otlp_http exporters.
