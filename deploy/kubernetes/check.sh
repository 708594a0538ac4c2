#!/usr/bin/env bash
# Checks the manifests: strict schemas, ConfigMaps as in config/, no right and no privilege that is not needed.
# usage: check.sh KUBECONFORM SCHEMAS [FOREBAY]
#   KUBECONFORM  the kubeconform binary
#   SCHEMAS      its -schema-location: a folder or a template
#   FOREBAY      the agent's binary, to validate the pipelines in the ConfigMaps with
set -euo pipefail
kubeconform=${1:?usage: check.sh KUBECONFORM SCHEMAS [FOREBAY]}
schemas=${2:?usage: check.sh KUBECONFORM SCHEMAS [FOREBAY]}
forebay=${3:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
say() { echo "deploy/kubernetes: $*" >&2; failed=1; }

# The double braces are kubeconform's.
[ -d "$schemas" ] && schemas="$schemas/{{.ResourceKind}}{{.KindSuffix}}.json"
mapfile -t manifests < <(find "$here" -name '*.yaml' ! -name kustomization.yaml | sort)
"$kubeconform" -strict -summary -schema-location "$schemas" "${manifests[@]}" || failed=1

for manifest in "${manifests[@]}"; do
    name=$(basename "$manifest")
    grep -qx "  - $name" "$here/kustomization.yaml" || say "kustomization.yaml does not list $name"
    if grep -Eq '^kind: (Cluster)?Role' "$manifest"; then say "$name: no role is needed"; fi
done

"$here/sync.sh" "$work"
for one in agent gateway; do
    cmp -s "$work/$one-configmap.yaml" "$here/$one-configmap.yaml" || say "$one-configmap.yaml is not what config/ has: run deploy/kubernetes/sync.sh"
    if [ -n "$forebay" ]; then
        sed -n "/^  $one.yaml: |/,\$p" "$here/$one-configmap.yaml" | sed -e 1d -e 's/^    //' >"$work/$one.yaml"
        "$forebay" validate --config "$work/$one.yaml" || say "$one: the pipeline is not valid"
    fi
done

for workload in agent-daemonset gateway-deployment; do
    for rule in 'automountServiceAccountToken: false' 'runAsNonRoot: true' 'readOnlyRootFilesystem: true' 'allowPrivilegeEscalation: false' \
        'drop: \[ALL\]' 'type: RuntimeDefault' 'path: /health' 'path: /ready' 'limits:'; do
        grep -Eq "^ +(- )?$rule$" "$here/$workload.yaml" || say "$workload.yaml lacks '$rule'"
    done
    one=${workload%-*}
    grace=$(sed -n 's/^ *terminationGracePeriodSeconds: //p' "$here/$workload.yaml")
    timeout=$(sed -n 's/^ *shutdown_timeout: \([0-9]*\)s$/\1/p' "$here/$one-configmap.yaml")
    ((grace > timeout)) || say "$workload.yaml: terminationGracePeriodSeconds ($grace) must be above shutdown_timeout ($timeout)"
done
exit $failed
