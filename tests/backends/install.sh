#!/usr/bin/env bash
# Installs what the end-to-end tests and `make demo-backends` need: pinned, once, outside the repository.
# usage: install.sh jaeger|zipkin|python|chromium|kubeconform|k8s-schemas|valgrind|otelcol ...
# Each goes to ${XDG_CACHE_HOME:-~/.cache}/forebay-testkit/NAME-VERSION and is skipped when already there;
# a lock per tool and a rename at the end make parallel and interrupted runs harmless.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=SCRIPTDIR/versions.sh
. "$here/versions.sh"
mkdir -p "$FOREBAY_TESTKIT"

say() { printf '[install] %s\n' "$*"; }
die() { printf '[install] %s\n' "$*" >&2; exit 1; }
need() { command -v "$1" >/dev/null || die "$2 needs '$1', which is not on PATH: $3"; }

# Runs `build_NAME DIR` into an empty folder and moves it to its final name only when that succeeded.
once() {
    local name=$1 final=$2 tmp started=$SECONDS
    if [ -e "$final/.complete" ]; then say "$name: cached in $final"; return; fi
    exec 9>"$final.lock"
    flock 9
    if [ -e "$final/.complete" ]; then say "$name: cached in $final"; return; fi
    say "$name: installing into $final"
    rm -rf "$final" "$final".tmp.*
    tmp=$final
    # A Python environment has its own path written into its scripts: it is built in place.
    [ "$name" = python ] || tmp=$(mktemp -d "$final.tmp.XXXXXX")
    mkdir -p "$tmp"
    "build_${name//-/_}" "$tmp"
    touch "$tmp/.complete"
    [ "$tmp" = "$final" ] || mv "$tmp" "$final"
    exec 9>&-
    say "$name: done in $((SECONDS - started)) s"
}

build_jaeger() {
    need go jaeger "install Go 1.26 or newer"
    # Jaeger's own go.mod has replace directives, which `go install` refuses: build it as a tool of a module of ours.
    (cd "$here/jaeger-tool" && GOFLAGS=-mod=readonly nice go build -trimpath -ldflags='-s -w' -o "$1/jaeger" \
        github.com/jaegertracing/jaeger/cmd/jaeger)
}

build_zipkin() {
    need mvn zipkin "install Maven (Debian: apt-get install maven)"
    need java zipkin "install a Java 17 runtime"
    mvn -B -q org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="io.zipkin:zipkin-server:$ZIPKIN_VERSION:jar:exec" -Dmdep.stripVersion=true -DoutputDirectory="$1"
    mv "$1/zipkin-server-exec.jar" "$1/zipkin.jar"
}

build_python() {
    need python3 python "install Python 3.10 or newer"
    python3 -m venv "$1" || die "python: 'python3 -m venv' failed (Debian: apt-get install python3-venv)"
    "$1/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$here/../e2e/requirements.txt"
}

build_kubeconform() {
    need go kubeconform "install Go 1.26 or newer"
    GOBIN=$1 nice go install "github.com/yannh/kubeconform/cmd/kubeconform@v$KUBECONFORM_VERSION"
}

build_k8s_schemas() {
    local venv
    venv=$(mktemp -d)
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "kubernetes-validate==$KUBERNETES_VALIDATE_VERSION"
    "$venv/bin/python" "$here/k8s_schemas.py" "$1" "$K8S_VERSION"
    rm -rf "$venv"
}

install_chromium() {
    if [ -n "$(chromium_bin)" ]; then say "chromium: $(chromium_bin) is there"; return; fi
    command -v apt-get >/dev/null || die "chromium: not found; install it and have 'chromium' on PATH, or set CHROMIUM_BIN"
    [ "$(id -u)" = 0 ] || die "chromium: not found, and installing it needs root: run 'sudo apt-get install chromium', or set CHROMIUM_BIN"
    say "chromium: installing the distribution's package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
}

# The peer of the benchmarks: the Go collector with the components that their cases name.
build_otelcol() {
    need go otelcol "install Go 1.26 or newer, or set OTELCOL_BIN"
    GOBIN=$1 nice go install "go.opentelemetry.io/collector/cmd/builder@v$OTELCOL_VERSION"
    sed "s/vVERSION/v$OTELCOL_VERSION/" "$here/otelcol-builder.yaml" >"$1/builder.yaml"
    (cd "$1" && GOFLAGS= nice ./builder --config builder.yaml >build.log 2>&1) || die "otelcol: $(tail -3 "$1/build.log")"
    mv "$1/build/otelcol" "$1/otelcol"
    rm -rf "$1/build" "$1/builder"
}

install_valgrind() {
    if [ -n "${VALGRIND:-}" ] || command -v valgrind >/dev/null; then say "valgrind: ${VALGRIND:-$(command -v valgrind)} is there"; return; fi
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
        die "valgrind: not found; install it and have 'valgrind' on PATH, or set VALGRIND"
    once valgrind "$(tool_dir valgrind)"
}

# The distribution's package, unpacked rather than installed: that needs no root.
build_valgrind() {
    local apt=$1/apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
    (
        cd "$apt"
        # Package lists of our own where the system has none.
        apt-get download -qq valgrind 2>/dev/null || {
            own=(-o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1)
            # Without root its cleaning up fails, after the lists are there.
            apt-get "${own[@]}" update -qq 2>/dev/null || true
            apt-get "${own[@]}" download -qq valgrind
        }
    ) || die "valgrind: apt-get cannot download it; install it and have 'valgrind' on PATH, or set VALGRIND"
    dpkg-deb -x "$apt"/valgrind_*.deb "$1"
    rm -rf "$apt"
}

[ $# -gt 0 ] || die "usage: install.sh jaeger|zipkin|python|chromium|kubeconform|k8s-schemas|valgrind|otelcol ..."
for tool in "$@"; do
    case $tool in
        jaeger | zipkin | python | kubeconform | k8s-schemas | otelcol) once "$tool" "$(tool_dir "$tool")" ;;
        chromium) install_chromium ;;
        valgrind) install_valgrind ;;
        *) die "unknown tool '$tool'" ;;
    esac
done
