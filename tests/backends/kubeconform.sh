#!/usr/bin/env bash
# Validates Kubernetes manifests strictly (unknown fields are errors) against the pinned version's schemas.
# usage: kubeconform.sh FOLDER      after: install.sh kubeconform k8s-schemas
set -euo pipefail
# shellcheck source=SCRIPTDIR/versions.sh
. "$(dirname "${BASH_SOURCE[0]}")/versions.sh"
mapfile -t manifests < <(grep -rlE '^apiVersion:' --include='*.yaml' "$1" | grep -v '/kustomization.yaml$')
[ ${#manifests[@]} -gt 0 ] || { echo "no manifests in $1" >&2; exit 1; }
# The double braces are kubeconform's.
schemas="$(tool_dir k8s-schemas)/v$K8S_VERSION-standalone-strict/{{.ResourceKind}}{{.KindSuffix}}.json"
"$(tool_dir kubeconform)/kubeconform" -strict -summary -kubernetes-version "$K8S_VERSION" -schema-location "$schemas" "${manifests[@]}"
