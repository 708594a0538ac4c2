# shellcheck shell=bash disable=SC2034
# The pinned versions and where they are cached; sourced by install.sh, start.sh and the Makefile's recipes.
JAEGER_VERSION=2.13.0 # module v1.76.0, pinned by jaeger-tool/go.mod and go.sum
ZIPKIN_VERSION=3.5.1
KUBECONFORM_VERSION=0.8.0
KUBERNETES_VALIDATE_VERSION=1.37.0 # carries the Kubernetes JSON schemas
K8S_VERSION=1.34.0
OTELCOL_VERSION=0.158.0

FOREBAY_TESTKIT=${XDG_CACHE_HOME:-$HOME/.cache}/forebay-testkit
BACKENDS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

# The folder that a tool's pinned version is cached in.
tool_dir() {
    case $1 in
        jaeger) echo "$FOREBAY_TESTKIT/jaeger-$JAEGER_VERSION" ;;
        zipkin) echo "$FOREBAY_TESTKIT/zipkin-$ZIPKIN_VERSION" ;;
        kubeconform) echo "$FOREBAY_TESTKIT/kubeconform-$KUBECONFORM_VERSION" ;;
        k8s-schemas) echo "$FOREBAY_TESTKIT/k8s-schemas-$K8S_VERSION" ;;
        otelcol) echo "$FOREBAY_TESTKIT/otelcol-$OTELCOL_VERSION" ;;
        # The distribution's own version: callgrind counts the same in each.
        valgrind) echo "$FOREBAY_TESTKIT/valgrind-$(. /etc/os-release 2>/dev/null; echo "${ID:-linux}${VERSION_ID:-}")" ;;
        # A changed requirement or interpreter is another environment.
        python) echo "$FOREBAY_TESTKIT/python-$( (python3 --version; cat "$BACKENDS/../e2e/requirements.txt") | sha256sum | cut -c1-12)" ;;
    esac
}

# Where kubeconform finds the strict schemas.
k8s_schemas() {
    echo "$(tool_dir k8s-schemas)/v$K8S_VERSION-standalone-strict"
}

# The browser that is there, if any.
chromium_bin() {
    local name
    if [ -n "${CHROMIUM_BIN:-}" ]; then echo "$CHROMIUM_BIN"; return; fi
    for name in chromium chromium-browser google-chrome; do
        if command -v "$name"; then return; fi
    done
}

# Exports VALGRIND, and VALGRIND_LIB for one that is not installed where it was built for.
use_valgrind() {
    local root
    root=$(tool_dir valgrind)
    if [ -n "${VALGRIND:-}" ]; then return; fi
    if command -v valgrind >/dev/null; then VALGRIND=valgrind; export VALGRIND; return; fi
    # The package's `valgrind` is a script around the program, with the installed path in it.
    for VALGRIND in "$root/usr/bin/valgrind.bin" "$root/usr/bin/valgrind"; do [ ! -x "$VALGRIND" ] || break; done
    for VALGRIND_LIB in "$root/usr/libexec/valgrind" "$root"/usr/lib/*/valgrind; do [ ! -d "$VALGRIND_LIB" ] || break; done
    export VALGRIND VALGRIND_LIB
}

# Exports OTELCOL_BIN, unless it is set or a collector is on PATH.
use_otelcol() {
    if [ -n "${OTELCOL_BIN:-}" ] || command -v otelcol >/dev/null; then return; fi
    OTELCOL_BIN=$(tool_dir otelcol)/otelcol
    export OTELCOL_BIN
}
