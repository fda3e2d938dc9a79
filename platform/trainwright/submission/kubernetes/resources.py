"""The kinds of objects that are spoken of with the API server, and their paths there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from trainwright.errors import RunError

Json = dict[str, Any]


@dataclass(frozen=True)
class Resource:
    """A kind of object.

    Attributes:
        group: API group; empty for the core group.
        version: of the group.
        plural: its name in paths.
        kind: its name in objects.
        is_namespaced: whether such objects belong to a namespace.
    """

    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True

    @property
    def qualified(self) -> str:
        """Its name as kubectl takes it: ``rayjobs.ray.io``, ``pods``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Path of one object, or of all in a namespace; those that are in none ignore it."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        place = ["namespaces", quote(namespace, safe="")] if self.is_namespaced else []
        parts = [root, *place, self.plural]
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


RAYJOBS = Resource("ray.io", "v1", "rayjobs", "RayJob")
RAYCLUSTERS = Resource("ray.io", "v1", "rayclusters", "RayCluster")
PODS = Resource("", "v1", "pods", "Pod")
EVENTS = Resource("", "v1", "events", "Event")
CONFIGMAPS = Resource("", "v1", "configmaps", "ConfigMap")
JOBS = Resource("batch", "v1", "jobs", "Job")
NETWORKPOLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
WORKLOADS = tuple(
    Resource("kueue.x-k8s.io", version, "workloads", "Workload")
    for version in ("v1beta2", "v1beta1")
)
"""Kueue's record of a job in a queue; a cluster may serve only the older version."""

_MADE = (RAYJOBS, CONFIGMAPS, NETWORKPOLICIES)


def resource_of(manifest: Mapping[str, Any]) -> Resource:
    """The kind of an object that a submission makes.

    Raises:
        RunError: a submission makes no such objects.
    """
    for resource in _MADE:
        if manifest.get("kind") == resource.kind:
            return resource
    raise RunError(f"a submission makes no {manifest.get('kind')}")


def annotations_of(found: Mapping[str, Any]) -> Mapping[str, str]:
    """The annotations of an object; empty if it has none."""
    return found.get("metadata", {}).get("annotations") or {}


def labels_of(found: Mapping[str, Any]) -> Mapping[str, str]:
    """The labels of an object; empty if it has none."""
    return found.get("metadata", {}).get("labels") or {}


def name_of(found: Mapping[str, Any]) -> str:
    """The name of an object."""
    return str(found.get("metadata", {}).get("name", ""))
