"""Kubernetes manifests: read, rendered, held against a schema."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[2] / "k8s"


def written(folder: str) -> list[Manifest]:
    """The manifests in the files of a folder, without kustomize's own."""
    files = sorted((FOLDER / folder).glob("*.yaml"))
    every = [value for file in files for value in yaml.safe_load_all(file.read_text())]
    return [
        value
        for value in every
        if isinstance(value, dict) and "apiVersion" in value and value["kind"] != "Kustomization"
    ]


def rendered(folder: Path) -> list[Manifest]:
    """What ``kubectl apply -k`` would send."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def pods(manifest: Any) -> Iterator[Manifest]:
    """The specification of every pod that a manifest makes."""
    if isinstance(manifest, dict):
        if "containers" in manifest:
            yield manifest
        for value in manifest.values():
            yield from pods(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from pods(value)


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run before the others as well."""
    return [*pod["containers"], *pod.get("initContainers", [])]


def tightened(schema: Any) -> Any:
    """An OpenAPI schema of a custom resource as a JSON schema that refuses unknown fields."""
    if isinstance(schema, list):
        return [tightened(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    tight = {key: tightened(value) for key, value in schema.items()}
    if tight.get("x-kubernetes-int-or-string"):
        tight.pop("anyOf", None)
        tight["type"] = ["integer", "string"]
    if tight.pop("nullable", False) and isinstance(tight.get("type"), str):
        tight["type"] = [tight["type"], "null"]
    fields = isinstance(tight.get("properties"), dict) and tight.get("type") == "object"
    if fields and not tight.get("x-kubernetes-preserve-unknown-fields"):
        tight.setdefault("additionalProperties", False)
    return tight


def schema_of(crds: Path, kind: str) -> Any:
    """The tightened schema of a custom resource's version v1, from the folder of definitions."""
    (file,) = crds.glob(f"*_{kind.lower()}s.yaml")
    definition = yaml.load(file.read_text(), Loader=yaml.CSafeLoader)
    assert definition["spec"]["names"]["kind"] == kind
    versions = {one["name"]: one for one in definition["spec"]["versions"]}
    schema = tightened(versions["v1"]["schema"]["openAPIV3Schema"])
    schema["properties"]["metadata"] = {"type": "object"}
    return schema
