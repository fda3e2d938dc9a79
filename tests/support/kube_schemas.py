"""Objects of Kubernetes held against its own schemas, each of which is read once."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate import utils
from referencing import Registry, Resource

OLDEST, NEWEST = "1.34.0", "1.37.0"


@cache
def _registry(version: str) -> Any:
    name = f"kubernetes-json-schema/v{version}-local-strict/_definitions.json"
    definitions: Any = Resource.from_contents(utils.schema_contents(name, version))
    return definitions @ Registry()


@cache
def _validator(kind: str, version: str) -> Draft202012Validator:
    name = f"kubernetes-json-schema/v{version}-local-strict/{kind}.json"
    schema = utils.schema_contents(name, version)
    registry: Any = Resource.from_contents(schema) @ _registry(version)
    return Draft202012Validator(schema, registry=registry)


def wrong(manifest: Any, version: str = OLDEST) -> list[str]:
    """What an API server of that version would not take, unknown fields among it."""
    group, _, rest = manifest["apiVersion"].rpartition("/")
    short = "-".join(part for part in (group.split(".")[0], rest) if part)
    validator = _validator(f"{manifest['kind'].lower()}-{short}", version)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


def pod_of(template: Any) -> Any:
    """A pod made from a template."""
    return {"apiVersion": "v1", "kind": "Pod", **template}
