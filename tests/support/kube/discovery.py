"""What the API server says about itself: groups, resources, its version."""

from __future__ import annotations

from typing import Any

from kube.resources import Registry, Resource

Json = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.4",
    "gitCommit": "59526cd4867447956156ae3a602fcbac10a2c335",
    "gitTreeState": "clean",
    "buildDate": "2025-04-22T16:02:58Z",
    "goVersion": "go1.23.6",
    "compiler": "gc",
    "platform": "linux/amd64",
}
HEALTH = ("/healthz", "/livez", "/readyz")
SUBRESOURCES = {"pods": (("log", ("get",)),)}
"""Subresources besides ``status``, with their verbs."""


def answer(registry: Registry, path: str) -> Json | str | None:
    """What is at a path of discovery, health or version; None, nothing is."""
    parts = path.strip("/").split("/")
    if path in HEALTH:
        return "ok"
    if path == "/version":
        return VERSION
    if parts[:2] == ["openapi", "v3"]:
        return _openapi(registry, "/".join(parts[2:]))
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    if parts == ["apis"]:
        groups = [_group(name, versions) for name, versions in registry.groups().items()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    if parts == ["api", "v1"]:
        return _resources(registry, "", "v1")
    if parts[0] == "apis" and len(parts) == 2 and parts[1] in registry.groups():
        versions = registry.groups()[parts[1]]
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], versions)}
    if parts[0] == "apis" and len(parts) == 3 and parts[2] in registry.groups().get(parts[1], ()):
        return _resources(registry, parts[1], parts[2])
    return None


def _openapi(registry: Registry, path: str) -> Json | None:
    """No schemas, but that objects are validated here, so that kubectl does not ask for any."""
    by_path: dict[str, list[Resource]] = {}
    for resource in registry.all():
        for version in resource.versions:
            group = f"apis/{resource.group}/{version}" if resource.group else f"api/{version}"
            by_path.setdefault(group, []).append(resource)
    if not path:
        return {"paths": {each: {"serverRelativeURL": f"/openapi/v3/{each}"} for each in by_path}}
    if path not in by_path:
        return None
    version = path.rpartition("/")[2]
    takes = [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}]
    paths = {
        f"/{path}/{resource.plural}/{{name}}": {
            "patch": {
                "parameters": takes,
                "responses": {},
                "x-kubernetes-group-version-kind": {
                    "group": resource.group,
                    "version": version,
                    "kind": resource.kind,
                },
            }
        }
        for resource in by_path[path]
    }
    return {"openapi": "3.0.0", "info": {"title": "Kubernetes"}, "paths": paths}


def _group(name: str, versions: list[str]) -> Json:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resources(registry: Registry, group: str, version: str) -> Json:
    found = [
        entry
        for resource in registry.all()
        if resource.group == group and version in resource.versions
        for entry in _entries(resource)
    ]
    group_version = f"{group}/{version}" if group else version
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": found,
    }


def _entries(resource: Resource) -> list[Json]:
    common = {"namespaced": resource.namespaced, "kind": resource.kind}
    main = {
        "name": resource.plural,
        "singularName": resource.kind.lower(),
        **common,
        "verbs": list(resource.verbs),
        **({"shortNames": list(resource.short)} if resource.short else {}),
        **({"categories": list(resource.categories)} if resource.categories else {}),
    }
    more = list(SUBRESOURCES.get(resource.plural, ()))
    if resource.status:
        more.append(("status", ("get", "patch", "update")))
    return [
        main,
        *(
            {
                "name": f"{resource.plural}/{name}",
                "singularName": "",
                **common,
                "verbs": list(verbs),
            }
            for name, verbs in more
        ),
    ]
