exec "$BENCH_AGENT" floor --listen "127.0.0.1:$BENCH_OTLP_PORT"
