"""What KubeRay 1.7 demands of a RayJob, written down again from its sources: without them at hand,
and beyond what the schema of its custom resource says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

LONGEST = 47
FREE = object()
"""Stands for values that are checked elsewhere."""

GROUP = {"rayStartParams": {str: str}, "template": FREE}
FIELDS: dict[Any, Any] = {
    "entrypoint": str,
    "jobId": str,
    "runtimeEnvYAML": str,
    "submissionMode": str,
    "backoffLimit": int,
    "preRunningDeadlineSeconds": int,
    "activeDeadlineSeconds": int,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "suspend": bool,
    "clusterSelector": {str: str},
    "submitterConfig": {"backoffLimit": int},
    "submitterPodTemplate": FREE,
    "rayClusterSpec": {
        "rayVersion": str,
        "authOptions": {"mode": str},
        "headGroupSpec": GROUP,
        "workerGroupSpecs": [
            {**GROUP, "groupName": str, "replicas": int, "minReplicas": int, "maxReplicas": int}
        ],
    },
}
"""The fields of a RayJob's that are used, with their types: what is not here is a slip of the pen,
which an API server would drop without a word."""

REFUSED_VARIABLES = ("RAY_REDIS_ADDRESS", "REDIS_USERNAME", "RAY_enable_autoscaler_v2")


def misfits(value: Any, shape: Any = FIELDS, path: str = "spec") -> Iterator[str]:
    """Fields that are not in ``FIELDS``, and values of another type."""
    if shape is FREE:
        return
    if isinstance(shape, list):
        for number, item in enumerate(value):
            yield from misfits(item, shape[0], f"{path}[{number}]")
    elif isinstance(shape, dict):
        for key, item in value.items():
            inner = shape.get(key, shape.get(type(key)))
            if inner is None:
                yield f"{path}.{key}: no such field"
            else:
                yield from misfits(item, inner, f"{path}.{key}")
    elif type(value) is not shape:
        yield f"{path}: {value!r} is no {shape.__name__}"


def refusals(job: Any) -> list[str]:
    """Why KubeRay's operator would refuse a RayJob, or Kueue's webhook one in a queue."""
    spec = job["spec"]
    return [*_of_name(job), *_of_job(spec), *_of_cluster(spec), *_of_queue(job)]


def _of_name(job: Any) -> Iterator[str]:
    name = job["metadata"]["name"]
    if len(name) > LONGEST or not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
        yield f"{name!r} is no DNS-1035 label of at most {LONGEST} characters"


def _of_job(spec: Any) -> Iterator[str]:
    selector = spec.get("clusterSelector") or {}
    shuts_down = spec.get("shutdownAfterJobFinishes", False)
    if spec.get("suspend") and not shuts_down:
        yield "suspend without shutdownAfterJobFinishes"
    if spec.get("ttlSecondsAfterFinished", 0) < 0:
        yield "a TTL below 0"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not shuts_down:
        yield "a TTL without shutdownAfterJobFinishes"
    if spec.get("suspend") and selector:
        yield "suspend with clusterSelector"
    if "rayClusterSpec" not in spec and not selector:
        yield "neither rayClusterSpec nor clusterSelector"
    if selector and not selector.get("ray.io/cluster"):
        yield "clusterSelector without the name of a cluster"
    if selector and spec.get("backoffLimit", 0) > 0:
        yield "backoffLimit with clusterSelector"
    if spec.get("submissionMode") not in ("K8sJobMode", "HTTPMode", "InteractiveMode"):
        yield "submissionMode is none that takes a submitter of its own"
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if field in spec and spec[field] <= 0:
            yield f"{field} is not above 0"
    if spec.get("backoffLimit", 0) < 0:
        yield "backoffLimit below 0"
    if not isinstance(yaml.safe_load(spec.get("runtimeEnvYAML", "{}")), dict):
        yield "runtimeEnvYAML holds no mapping"


def _of_cluster(spec: Any) -> Iterator[str]:
    cluster = spec.get("rayClusterSpec")
    if cluster is None:
        return
    head, workers = cluster["headGroupSpec"], cluster.get("workerGroupSpecs", [])
    for group in (head, *workers):
        if not group["template"]["spec"].get("containers"):
            yield "a group without a container"
        if "labels" in group["rayStartParams"]:
            yield "labels in rayStartParams"
    for group in workers:
        if not {"minReplicas", "maxReplicas"} <= group.keys():
            yield "a worker group without minReplicas and maxReplicas"
        elif not 0 <= group["minReplicas"] <= group["maxReplicas"]:
            yield "minReplicas and maxReplicas out of order"
    for variable in head["template"]["spec"]["containers"][0].get("env", []):
        if variable["name"] in REFUSED_VARIABLES:
            yield f"the head has {variable['name']}"
    version = tuple(map(int, cluster.get("rayVersion", "0.0").split(".")[:2]))
    if cluster.get("authOptions", {}).get("mode") == "token" and version < (2, 52):
        yield f"no tokens with Ray {version}"


def _of_queue(job: Any) -> Iterator[str]:
    if "kueue.x-k8s.io/queue-name" not in job["metadata"]["labels"]:
        return
    spec = job["spec"]
    if not spec.get("shutdownAfterJobFinishes"):
        yield "Kueue wants the cluster to end with its job"
    if spec.get("clusterSelector"):
        yield "Kueue queues no jobs for a running cluster"
    groups = spec.get("rayClusterSpec", {}).get("workerGroupSpecs", [])
    if any(group["groupName"] == "head" for group in groups):
        yield "Kueue calls the head's pods head"
