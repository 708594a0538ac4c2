#!/usr/bin/env bash
# Runs one backend in the foreground (the process replaces this script: its pid is the backend's), on loopback only.
# usage: [PORT VARIABLES] start.sh jaeger|zipkin|tempo      ports and their defaults: the configs beside this script
set -euo pipefail
# shellcheck source=SCRIPTDIR/versions.sh
. "$(dirname "${BASH_SOURCE[0]}")/versions.sh"

case ${1:-} in
    jaeger)
        exec "$(tool_dir jaeger)/jaeger" --config "$BACKENDS/configs/jaeger.yaml"
        ;;
    zipkin)
        # Zipkin binds to one address only when all three of its port flags are given.
        export STORAGE_TYPE=mem SELF_TRACING_ENABLED=false
        exec java "-Xmx${ZIPKIN_HEAP:-256m}" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -jar "$(tool_dir zipkin)/zipkin.jar" \
            "--armeria.ports[0].ip=127.0.0.1" "--armeria.ports[0].port=${ZIPKIN_PORT:-9411}" "--armeria.ports[0].protocols[0]=http"
        ;;
    tempo)
        # In no package registry: used when its user has it, on PATH or in TEMPO_BIN.
        tempo=${TEMPO_BIN:-$(command -v tempo || true)}
        if [ -z "$tempo" ]; then echo "no tempo on PATH, and TEMPO_BIN is not set" >&2; exit 1; fi
        export TEMPO_DIR=${TEMPO_DIR:-$(mktemp -d)}
        exec "$tempo" -target=all "-config.file=$BACKENDS/configs/tempo.yaml" -config.expand-env=true
        ;;
    *)
        echo "usage: start.sh jaeger|zipkin|tempo" >&2
        exit 2
        ;;
esac
