#!/usr/bin/env bash
# Writes the ConfigMaps from config/, which is where the pipelines are edited.
# usage: sync.sh [FOLDER]      FOLDER: where to write; the one of this script when left out
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here}

configmap() { # NAME SOURCE
    cat <<TEXT
# Made by sync.sh from config/$2: edit that file.
apiVersion: v1
kind: ConfigMap
metadata:
  name: forebay-$1
  namespace: forebay
  labels:
    app.kubernetes.io/name: forebay-$1
    app.kubernetes.io/part-of: forebay
data:
  $1.yaml: |
TEXT
    sed -e 's/^/    /' -e 's/^ *$//' "$here/../../config/$2"
}

configmap agent daemonset-agent.yaml >"$out/agent-configmap.yaml"
configmap gateway gateway.yaml >"$out/gateway-configmap.yaml"
