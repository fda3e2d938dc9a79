"""What the API server knows: one table of resources, and what is installed besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True)
class Resource:
    """A resource of the API.

    Attributes:
        group: API group; the core group's name is empty.
        versions: those that are served, the preferred one first.
        plural: name in paths.
        kind: name in objects.
        namespaced: whether its objects live in namespaces.
        short: short names for kubectl.
        categories: groups of resources for kubectl: ``all``.
        status: whether it has a status subresource.
        generation: whether ``metadata.generation`` counts changes of what is wanted.
        returned: whether a deletion answers with the object, not with a Status.
        custom: whether a custom resource definition makes it.
        verbs: what may be done with it.
        fields: what field selectors may name besides ``metadata.name`` and ``.namespace``.
    """

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    status: bool = False
    generation: bool = False
    returned: bool = False
    custom: bool = False
    verbs: tuple[str, ...] = VERBS
    fields: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """Name with the group: ``rayjobs.ray.io``; those of the core group have none."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def api_version(self, version: str | None = None) -> str:
        """``apiVersion`` of its objects."""
        version = version or self.versions[0]
        return f"{self.group}/{version}" if self.group else version


POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
EVENT_FIELDS = (
    *(f"involvedObject.{part}" for part in ("kind", "namespace", "name", "uid", "apiVersion")),
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
ALL = ("all",)
RBAC = "rbac.authorization.k8s.io"


def core(plural: str, kind: str, *short: str, **more: Any) -> Resource:
    """A resource of the core group."""
    return Resource("", ("v1",), plural, kind, short=short, **more)


def custom(group: str, versions: tuple[str, ...], plural: str, kind: str, *short: str) -> Resource:
    """A custom resource in namespaces."""
    categories = ALL if group == "ray.io" else ()
    return Resource(
        group,
        versions,
        plural,
        kind,
        short=short,
        categories=categories,
        status=True,
        generation=True,
        custom=True,
    )


TABLE = (
    core("configmaps", "ConfigMap", "cm"),
    core("events", "Event", "ev", fields=EVENT_FIELDS),
    core(
        "namespaces",
        "Namespace",
        "ns",
        namespaced=False,
        status=True,
        returned=True,
        fields=("status.phase",),
    ),
    core("nodes", "Node", "no", namespaced=False, status=True, fields=("spec.unschedulable",)),
    core("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", status=True, returned=True),
    core("pods", "Pod", "po", status=True, returned=True, categories=ALL, fields=POD_FIELDS),
    core("resourcequotas", "ResourceQuota", "quota", status=True, returned=True),
    core("secrets", "Secret", fields=("type",)),
    core("serviceaccounts", "ServiceAccount", "sa", returned=True),
    core("services", "Service", "svc", status=True, returned=True, categories=ALL),
    Resource(
        "batch",
        ("v1",),
        "jobs",
        "Job",
        categories=ALL,
        status=True,
        generation=True,
        fields=("status.successful",),
    ),
    Resource(
        "networking.k8s.io",
        ("v1",),
        "networkpolicies",
        "NetworkPolicy",
        short=("netpol",),
        generation=True,
    ),
    Resource(RBAC, ("v1",), "roles", "Role"),
    Resource(RBAC, ("v1",), "rolebindings", "RoleBinding"),
    Resource(
        "scheduling.k8s.io",
        ("v1",),
        "priorityclasses",
        "PriorityClass",
        namespaced=False,
        short=("pc",),
        generation=True,
    ),
    Resource(
        "apiextensions.k8s.io",
        ("v1",),
        "customresourcedefinitions",
        "CustomResourceDefinition",
        namespaced=False,
        short=("crd", "crds"),
        status=True,
        generation=True,
    ),
    Resource(
        "authorization.k8s.io",
        ("v1",),
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=("create",),
    ),
    Resource(
        "authentication.k8s.io",
        ("v1",),
        "selfsubjectreviews",
        "SelfSubjectReview",
        namespaced=False,
        verbs=("create",),
    ),
    custom("ray.io", ("v1",), "rayjobs", "RayJob"),
    custom("ray.io", ("v1",), "rayclusters", "RayCluster"),
    custom("kueue.x-k8s.io", ("v1beta2", "v1beta1"), "workloads", "Workload", "wl"),
    custom("kueue.x-k8s.io", ("v1beta2", "v1beta1"), "localqueues", "LocalQueue", "queue"),
)


Key = tuple[str, str, str]
"""Where an object is kept: qualified resource, namespace (empty for those of the cluster), name."""


def key_of(resource: Resource, found: Mapping[str, Any]) -> Key:
    """Where an object is kept."""
    metadata = found["metadata"]
    return resource.qualified, metadata.get("namespace", ""), metadata["name"]


class Registry:
    """The resources that are served now."""

    def __init__(self) -> None:
        self._served = {resource.qualified: resource for resource in TABLE}

    def all(self) -> list[Resource]:
        """Every resource that is served."""
        return list(self._served.values())

    def find(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource of a path, if it is served."""
        resource = self._served.get(f"{plural}.{group}" if group else plural)
        return resource if resource and version in resource.versions else None

    def named(self, name: str) -> Resource:
        """A resource by its plural, with or without its group.

        Raises:
            KeyError: none is served, which is a mistake of the test.
        """
        for resource in self._served.values():
            if name in (resource.qualified, resource.plural):
                return resource
        raise KeyError(f"no resource is called {name}")

    def of(self, found: Mapping[str, Any]) -> Resource:
        """The resource of an object.

        Raises:
            KeyError: none is served, which is a mistake of the test.
        """
        group, _, version = found["apiVersion"].rpartition("/")
        for resource in self._served.values():
            is_it = (resource.group, resource.kind) == (group, found["kind"])
            if is_it and version in resource.versions:
                return resource
        raise KeyError(f"no resource has objects of {found['apiVersion']} {found['kind']}")

    def groups(self) -> dict[str, list[str]]:
        """Group -> its versions, the preferred one first, without the core group."""
        groups: dict[str, list[str]] = {}
        for resource in self._served.values():
            known = groups.setdefault(resource.group, [])
            known.extend(version for version in resource.versions if version not in known)
        groups.pop("", None)
        return groups

    def define(self, definition: Mapping[str, Any]) -> None:
        """Serve what a custom resource definition describes."""
        resource = defined(definition)
        self._served[resource.qualified] = resource

    def undefine(self, definition: Mapping[str, Any]) -> None:
        """Serve it no longer."""
        self._served.pop(definition["metadata"]["name"], None)


def defined(definition: Mapping[str, Any]) -> Resource:
    """The resource that a custom resource definition describes."""
    spec, names = definition["spec"], definition["spec"]["names"]
    served = [version for version in spec["versions"] if version["served"]]
    return Resource(
        spec["group"],
        tuple(version["name"] for version in served),
        names["plural"],
        names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        status=any("status" in version.get("subresources", {}) for version in served),
        generation=True,
        custom=True,
    )


def definition(resource: Resource) -> dict[str, Any]:
    """The custom resource definition of a custom resource, without a schema."""
    versions = [
        {
            "name": version,
            "served": True,
            "storage": version == resource.versions[0],
            "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            },
            "subresources": {"status": {}} if resource.status else {},
        }
        for version in resource.versions
    ]
    names = {
        "plural": resource.plural,
        "singular": resource.kind.lower(),
        "kind": resource.kind,
        "listKind": f"{resource.kind}List",
        "shortNames": list(resource.short),
        "categories": list(resource.categories),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": resource.qualified},
        "spec": {
            "group": resource.group,
            "names": names,
            "scope": "Namespaced" if resource.namespaced else "Cluster",
            "versions": versions,
        },
    }
