#!/usr/bin/env bash
# Runs the release build with the built-in generator as a background client; Ctrl-C stops all that was started here.
# usage: demo.sh alone|backends
set -euo pipefail
# shellcheck source=SCRIPTDIR/versions.sh
. "$(dirname "${BASH_SOURCE[0]}")/versions.sh"
cd "$BACKENDS/../.."
forebay=${FOREBAY_BIN:-target/release/forebay}
admin=http://127.0.0.1:8888
logs=$(mktemp -d)
children=()
tempo=no

stop() {
    trap - INT TERM EXIT
    # Clients first, backends last, so that the agent can drain. What does not stop in 10 s (Tempo takes half a minute) is ended.
    local i deadline
    for ((i = ${#children[@]} - 1; i >= 0; i--)); do
        deadline=$((SECONDS + 10))
        kill "${children[i]}" 2>/dev/null || continue
        while kill -0 "${children[i]}" 2>/dev/null && ((SECONDS < deadline)); do sleep 0.1; done
        kill -9 "${children[i]}" 2>/dev/null || true
        wait "${children[i]}" 2>/dev/null || true
    done
    wait # for the agent's last words
    rm -rf "$logs"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# background NAME COMMAND...: the output goes to a file, the pid to `children`. In a session of its own, so that Ctrl-C
# in the terminal reaches this script alone, which then stops everything in order.
background() {
    local name=$1
    shift
    setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
    children+=($!)
}

# ready NAME URL: waits until the URL answers, or shows the log of what did not come up.
ready() {
    local deadline=$((SECONDS + 120)) pid=${children[-1]}
    until curl --silent --fail --output /dev/null --max-time 2 "$2"; do
        if ! kill -0 "$pid" 2>/dev/null || ((SECONDS > deadline)); then
            echo "$1 did not start:" >&2
            tail -n 20 "$logs/$1.log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

# free PORT...: a port that somebody else holds would otherwise show as a demo that half works.
free() {
    local port
    for port in "$@"; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "127.0.0.1:$port is taken, and the demo needs it: stop what listens there ('ss -ltnp' names it)" >&2
            exit 1
        fi
    done
}

configs=(--config config/demo.yaml)
free 4317 4318 8888 13133
if [ "$1" = backends ]; then
    configs=(--config config/demo-backends.yaml)
    free 9411 16685 16686 23133 24317 24318
    echo "starting Jaeger and Zipkin ..."
    # 4317, 4318 and 13133 are the agent's.
    JAEGER_OTLP_GRPC_PORT=24317 JAEGER_OTLP_HTTP_PORT=24318 JAEGER_HEALTH_PORT=23133 background jaeger tests/backends/start.sh jaeger
    ready jaeger http://127.0.0.1:23133/status
    background zipkin tests/backends/start.sh zipkin
    ready zipkin http://127.0.0.1:9411/health
    if [ -n "${TEMPO_BIN:-$(command -v tempo || true)}" ]; then
        free 3200 9095 14317 14318
        echo "starting Tempo ..."
        TEMPO_DIR=$logs/tempo background tempo tests/backends/start.sh tempo
        ready tempo http://127.0.0.1:3200/ready
        configs+=(--config tests/backends/configs/demo-tempo.yaml)
        tempo=yes
    else
        echo "no tempo on PATH or in TEMPO_BIN: going on without it"
    fi
fi

background forebay "$forebay" "${configs[@]}"
agent=${children[-1]}
ready forebay "$admin/ready"
background generator "$forebay" generate

cat <<TEXT

Forebay is running (${configs[*]}) with made-up agent tasks coming in. Ctrl-C stops everything.

  the page: pipelines, rates, verdicts   $admin/
  the same as JSON, and metrics          $admin/status   $admin/metrics
  your own SDK                           OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317 (gRPC) or :4318 (HTTP)
TEXT
if [ "$1" = backends ]; then
    echo "  the kept traces in Jaeger              http://127.0.0.1:16686/api/traces?service=orchestrator&limit=20"
    echo "  the kept traces in Zipkin              http://127.0.0.1:9411/zipkin/"
    [ $tempo = no ] || echo "  the kept traces in Tempo               http://127.0.0.1:3200/api/search (with X-Scope-OrgID: demo)"
fi
echo

# The agent's own output is the demo, its closing words included: tail ends by itself after the agent has.
setsid tail --pid="$agent" -s 0.2 -n +1 -f "$logs/forebay.log" &
wait "$agent"
