"""Objects as a cluster with KubeRay and Kueue has them, for tests of what they mean."""

from __future__ import annotations

from typing import Any

from trainwright.submission.kubernetes.explain.scene import Scene
from trainwright.submission.kubernetes.explain.why import why
from trainwright.submission.kubernetes.states import seconds_of

Json = dict[str, Any]

JOB = "digits-01234567"
CLUSTER = f"{JOB}-x7k2p"
NAMESPACE = "default"

BEGINS = {"jobDeploymentStatus": "Initializing", "rayClusterName": CLUSTER}
RUNS = {**BEGINS, "jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}
FAILED = {**BEGINS, "jobDeploymentStatus": "Failed", "reason": "AppFailed"}
OOM = {"exitCode": 137, "reason": "OOMKilled"}


def ray_job(
    status: Json | None = None,
    *,
    spec: Json | None = None,
    labels: Json | None = None,
    annotations: Json | None = None,
    **metadata: Any,
) -> Json:
    """A RayJob of a submission."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {
            "name": JOB,
            "namespace": NAMESPACE,
            "uid": "job-uid",
            "creationTimestamp": "2026-01-01T10:00:00Z",
            "labels": {
                "app.kubernetes.io/managed-by": "trainwright",
                "trainwright/submission": JOB,
                **(labels or {}),
            },
            "annotations": {"trainwright/job": "digits", **(annotations or {})},
            **metadata,
        },
        "spec": {"backoffLimit": 3, "shutdownAfterJobFinishes": True, **(spec or {})},
        **({"status": status} if status is not None else {}),
    }


def ray_cluster(*, workers: int = 2, conditions: tuple[Json, ...] = ()) -> Json:
    """Its RayCluster."""
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayCluster",
        "metadata": {"name": CLUSTER, "namespace": NAMESPACE},
        "spec": {"workerGroupSpecs": [{"groupName": "workers", "replicas": workers}]},
        "status": {"conditions": list(conditions)},
    }


def condition(kind: str, status: bool, reason: str = "", message: str = "") -> Json:
    """A condition of any object."""
    return {"type": kind, "status": str(status), "reason": reason, "message": message}


def ray_pod(role: str = "worker", number: int = 0, **status: Any) -> Json:
    """A pod of head, worker or submitter that has a node, unless its status says otherwise."""
    labels = (
        {"job-name": JOB}
        if role == "submitter"
        else {"ray.io/cluster": CLUSTER, "ray.io/node-type": role}
    )
    container = "submitter" if role == "submitter" else f"ray-{role}"
    requests = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1", "ephemeral-storage": "1Gi"}
    if role != "worker":
        requests = {"cpu": "2", "memory": "8Gi"}
    resources = {"requests": requests, "limits": requests}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{CLUSTER}-{role}-{number}",
            "namespace": NAMESPACE,
            "uid": f"{role}-{number}",
            "creationTimestamp": f"2026-01-01T10:00:{number:02d}Z",
            "labels": labels,
        },
        "spec": {
            "containers": [{"name": container, "image": "trainwright:1", "resources": resources}]
        },
        "status": {"phase": "Pending", **status},
    }


def ready_pod(role: str = "worker", number: int = 0) -> Json:
    """A pod that runs."""
    conditions = [condition("PodScheduled", True), condition("Ready", True)]
    return ray_pod(role, number, phase="Running", conditions=conditions)


def unscheduled(message: str, role: str = "worker", number: int = 0) -> Json:
    """A pod that no node takes."""
    return ray_pod(
        role, number, conditions=[condition("PodScheduled", False, "Unschedulable", message)]
    )


def held(reason: str, message: str = "", role: str = "worker", number: int = 0) -> Json:
    """A pod whose container waits."""
    return container_in({"waiting": {"reason": reason, "message": message}}, role, number)


def container_in(
    state: Json, role: str = "worker", number: int = 0, last: Json | None = None, **status: Any
) -> Json:
    """A pod whose container is in a state, after another."""
    pod = ray_pod(role, number, **status)
    container = pod["spec"]["containers"][0]
    pod["status"]["containerStatuses"] = [
        {
            "name": container["name"],
            "image": container["image"],
            "restartCount": 1 if last else 0,
            "state": state,
            "lastState": {"terminated": last} if last else {},
        }
    ]
    return pod


def warning(about: Json | str, reason: str, message: str, at: str = "2026-01-01T10:01:00Z") -> Json:
    """An event."""
    name = about if isinstance(about, str) else about["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "type": "Warning",
        "involvedObject": {"name": name},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


def workload(*conditions: Json, **status: Any) -> Json:
    """Kueue's record of the job."""
    return {
        "apiVersion": "kueue.x-k8s.io/v1beta1",
        "kind": "Workload",
        "metadata": {"name": f"rayjob-{JOB}", "namespace": NAMESPACE},
        "spec": {"active": True},
        "status": {"conditions": list(conditions), **status},
    }


def scene(*pods: Json, job: Json | None = None, cluster: Any = "own", **more: Any) -> Scene:
    found = ray_cluster() if cluster == "own" else cluster
    now = seconds_of("2026-01-01T10:01:00Z") or 0.0
    more["events"] = tuple(more.get("events", ()))
    return Scene(job or ray_job(BEGINS), found, pods, now=now, **more)


def check(found: Scene, *fragments: str) -> None:
    line = why(found)
    assert "\n" not in line
    assert [part for part in fragments if part not in line] == [], line
