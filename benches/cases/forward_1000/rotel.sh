# Batches of 8,192 spans or 200 ms are its defaults. "none" does not keep it from sending gzip: the sink says so.
exec "$BENCH_AGENT" start \
    --pid-file "${TMPDIR:-/tmp}/rotel-$$.pid" \
    --otlp-grpc-endpoint "127.0.0.1:$BENCH_OTLP_PORT" \
    --otlp-http-endpoint "127.0.0.1:$BENCH_ADMIN_PORT" \
    --exporter otlp \
    --otlp-exporter-protocol grpc \
    --otlp-exporter-endpoint "http://127.0.0.1:$BENCH_SINK_PORT" \
    --otlp-exporter-compression none
