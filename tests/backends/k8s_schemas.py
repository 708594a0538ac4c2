"""Lays the Kubernetes JSON schemas of the kubernetes-validate package out as kubeconform expects them.

usage: k8s_schemas.py OUT VERSION
"""

import json
import pathlib
import sys

import kubernetes_validate

out, version = pathlib.Path(sys.argv[1]), sys.argv[2]
packaged = pathlib.Path(kubernetes_validate.__file__).parent / "kubernetes-json-schema"

for strictness in ("", "-strict"):
    target = out / f"v{version}-standalone{strictness}"
    target.mkdir(parents=True, exist_ok=True)
    for source in (packaged / f"v{version}-local{strictness}").glob("*.json"):
        # References are absolute in the package and relative beside the file here.
        schema = json.loads(source.read_text().replace("/api/_definitions.json#", "_definitions.json#"))
        schema.pop("$id", None)
        (target / source.name).write_text(json.dumps(schema))
