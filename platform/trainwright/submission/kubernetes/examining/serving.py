"""The API server, KubeRay in it, and the namespace."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from trainwright.doctor.finding import Finding
from trainwright.submission.kubernetes.errors import KUBERAY
from trainwright.submission.kubernetes.examining.reading import (
    ALL_PODS,
    NAMESPACES,
    RAY_GROUP,
    VERSION,
    Reader,
    Unseen,
)
from trainwright.submission.kubernetes.explain.scene import is_true
from trainwright.submission.kubernetes.resources import RAYJOBS, Json

OLDEST = (1, 6)
"""KubeRay from which on a RayJob has all that is asked of it."""

_OPERATOR = "app.kubernetes.io/name=kuberay-operator"
_TAG = re.compile(r":v?(\d+)\.(\d+)(?:\.\d+)?[^:/]*$")


def check_server(reader: Reader, host: str) -> Finding:
    """Whether the API server answers.

    Raises:
        TargetError: it does not, or does not let the user in.
    """
    begun = time.monotonic()
    try:
        version = str((reader.one(VERSION) or {}).get("gitVersion", "of no known version"))
    except Unseen:
        version = "of no version that you may see"
    passed = time.monotonic() - begun
    return Finding("kubernetes", "ok", f"{version} at {host} answers in {passed:.2f} s")


def check_kuberay(reader: Reader) -> Iterator[Finding]:
    """Whether RayJobs can be made, and whether KubeRay's operator runs as far as one may see."""
    served = reader.one(RAY_GROUP) or {}
    kinds = {str(kind.get("name")) for kind in served.get("resources") or []}
    if RAYJOBS.plural not in kinds:
        says = "it is not installed: the cluster knows no RayJob of ray.io/v1"
        yield Finding("kuberay", "stop", says, KUBERAY)
        return
    try:
        pods = reader.all(ALL_PODS, labels=_OPERATOR)
    except Unseen:
        yield Finding("kuberay", "ok", "RayJob v1 is served; its operator is not yours to see")
        return
    yield _operator(pods)


def _operator(pods: list[Json]) -> Finding:
    if not pods:
        says = "RayJob v1 is served, but no operator runs under its usual label"
        mend = "`kubectl get pods -A | grep kuberay` must show it; without it no job begins"
        return Finding("kuberay", "note", says, mend)
    images = [str(pod["spec"]["containers"][0].get("image")) for pod in pods]
    if not any(is_true(pod, "Ready") for pod in pods):
        name = f"{pods[0]['metadata']['namespace']} {pods[0]['metadata']['name']}"
        mend = f"`kubectl describe pod -n {name}` shows why"
        return Finding("kuberay", "stop", f"its operator, {images[0]}, is not ready", mend)
    match = _TAG.search(images[0])
    if match and (int(match[1]), int(match[2])) < OLDEST:
        says = f"its operator is {images[0]}, and jobs need {'.'.join(map(str, OLDEST))} or newer"
        return Finding("kuberay", "stop", says, KUBERAY.replace("install", "upgrade", 1))
    return Finding("kuberay", "ok", f"RayJob v1 is served, its operator is {images[0]}")


def check_namespace(reader: Reader) -> Finding:
    """Whether the namespace is there."""
    name = reader.namespace
    try:
        found = reader.one(NAMESPACES, name)
    except Unseen:
        return Finding("namespace", "ok", f"{name}; whether it is there is not yours to see")
    if found is None:
        mend = f"`kubectl create namespace {name}`, or --namespace NAME"
        return Finding("namespace", "stop", f"there is no {name}", mend)
    if (found.get("status") or {}).get("phase") == "Terminating":
        mend = "wait until it is gone and make it again, or --namespace NAME"
        return Finding("namespace", "stop", f"{name} is being deleted", mend)
    return Finding("namespace", "ok", name)
