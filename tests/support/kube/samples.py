"""Small objects for tests of the server itself, and of who talks to it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def pod(name: str, containers: tuple[str, ...] = ("main",), **metadata: Any) -> Json:
    """A pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": each, "image": "x"} for each in containers]},
    }


def ray_job(name: str, **metadata: Any) -> Json:
    """A RayJob that waits to be started."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name, **metadata},
        "spec": {"entrypoint": "python", "suspend": True},
    }


def config_map(name: str, data: dict[str, str] | None = None, **metadata: Any) -> Json:
    """A ConfigMap."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata},
        "data": data or {},
    }


def owned_by(owner: Json, *, blocks: bool = False) -> Json:
    """Metadata of an object that goes when its owner goes."""
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": blocks,
    }
    return {"ownerReferences": [reference]}
