"""The pods of a submission: Ray's head, its workers, and the one that sends the job to them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy

from trainwright.submission.kubernetes.rendering.environment import variables, whole_secrets
from trainwright.submission.kubernetes.rendering.extras import DASHBOARD_PORT, Manifest, labels
from trainwright.submission.kubernetes.rendering.volumes import (
    Mounted,
    of_ray,
    of_submitter,
    shared_memory,
    token,
)
from trainwright.submission.parcel import Parcel
from trainwright.submission.profile import Head, Profile, Toleration, Worker

USER = 10001
"""User and group of every process, those of k8s/Dockerfile."""

LEAVE = ["python", "-m", "trainwright.submission.inside.leave"]
"""Run in a pod of Ray's that is about to end, before its processes are told so."""

_HEALTH = {"httpGet": {"path": "/api/healthz", "port": 52365}}
"""Ray's agent in each pod says whether the processes of Ray in there are well; it asks no token."""

_PROBES = {
    "readinessProbe": {
        **_HEALTH,
        "initialDelaySeconds": 10,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "failureThreshold": 10,
    },
    # Patient: a busy machine answers late, and a restart costs more than some minutes.
    "livenessProbe": {
        **_HEALTH,
        "initialDelaySeconds": 30,
        "periodSeconds": 5,
        "timeoutSeconds": 5,
        "failureThreshold": 120,
    },
}
"""Those that KubeRay 1.7 would add. Older ones call wget, which the image does not have."""

_AFTER_STOP_S = 30
"""Seconds between the end of a job that was stopped and the end of its pods."""

_POD_SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    # A volume with many files is not gone through at each start.
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
_CONTAINER_SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def head_pod(submission: str, profile: Profile, trains: bool) -> Manifest:
    """Template of the pod with Ray's head and the driver of the job.

    Args:
        submission: its name.
        profile: how the cluster runs it.
        trains: whether the driver trains itself; then it has the shape of a worker.
    """
    shape = profile.worker if trains else profile.head
    mounted = of_ray(profile)
    mounted += shared_memory(profile) if trains else []
    mounted += [token()] if profile.annotate else []
    container = {
        **_ray_container("ray-head", profile, shape, mounted, [*LEAVE, "head"]),
        "ports": [
            {"name": "gcs-server", "containerPort": 6379},
            {"name": "dashboard", "containerPort": DASHBOARD_PORT},
        ],
    }
    return _ray_pod(submission, profile, shape, container, mounted)


def worker_pod(submission: str, profile: Profile) -> Manifest:
    """Template of the pods with training processes."""
    mounted = [*of_ray(profile), *shared_memory(profile)]
    shape = profile.worker
    container = _ray_container("ray-worker", profile, shape, mounted, [*LEAVE, "worker"])
    return _ray_pod(submission, profile, shape, container, mounted)


def submitter_pod(submission: str, parcel: Parcel, profile: Profile) -> Manifest:
    """Template of the pod that sends the parcel to Ray's head and then prints the job's log."""
    mounted = of_submitter(submission, parcel)
    container = {
        **_container("submitter", profile, mounted),
        "resources": _exactly({"cpu": "500m", "memory": "1Gi"}),
    }
    pod = {**_pod(profile, container, mounted), "restartPolicy": "Never"}
    return _template(submission, pod)


def _ray_container(
    name: str,
    profile: Profile,
    shape: Head | Worker,
    mounted: Sequence[Mounted],
    leave: list[str],
) -> Manifest:
    secrets = whole_secrets(profile)
    return {
        **_container(name, profile, mounted),
        "env": variables(profile),
        **({"envFrom": secrets} if secrets else {}),
        "resources": _exactly(_resources(shape)),
        **deepcopy(_PROBES),
        "lifecycle": {"preStop": {"exec": {"command": leave}}},
    }


def _ray_pod(
    submission: str,
    profile: Profile,
    shape: Head | Worker,
    container: Manifest,
    mounted: Sequence[Mounted],
) -> Manifest:
    pod = {
        **_pod(profile, container, mounted),
        "terminationGracePeriodSeconds": profile.stop_seconds + _AFTER_STOP_S,
    }
    if shape.node_selector:
        pod["nodeSelector"] = dict(sorted(shape.node_selector.items()))
    if shape.tolerations:
        pod["tolerations"] = [_toleration(one) for one in shape.tolerations]
    return _template(submission, pod)


def _container(name: str, profile: Profile, mounted: Sequence[Mounted]) -> Manifest:
    return {
        "name": name,
        "image": profile.image,
        "imagePullPolicy": profile.pull_policy,
        "securityContext": deepcopy(_CONTAINER_SECURITY),
        "volumeMounts": [one.mount for one in mounted],
    }


def _pod(profile: Profile, container: Manifest, mounted: Sequence[Mounted]) -> Manifest:
    pod: Manifest = {
        "serviceAccountName": profile.service_account,
        "automountServiceAccountToken": False,
        # A Service called mlflow would set MLFLOW_PORT, which means something else to MLflow.
        "enableServiceLinks": False,
        "securityContext": deepcopy(_POD_SECURITY),
        "containers": [container],
        "volumes": [one.volume for one in mounted],
    }
    if profile.pull_secrets:
        pod["imagePullSecrets"] = [{"name": name} for name in profile.pull_secrets]
    if profile.priority is not None and profile.queue is None:
        pod["priorityClassName"] = profile.priority
    return pod


def _template(submission: str, pod: Manifest) -> Manifest:
    return {"metadata": {"labels": labels(submission)}, "spec": pod}


def _resources(shape: Head | Worker) -> dict[str, str]:
    resources = {"cpu": _cpu(shape.cpu), "memory": shape.memory}
    if isinstance(shape, Worker) and shape.gpu:
        resources[shape.gpu_resource] = str(shape.gpu)
    return resources


def _exactly(resources: dict[str, str]) -> Manifest:
    return {"requests": dict(resources), "limits": dict(resources)}


def _cpu(cpus: float) -> str:
    """A quantity of Kubernetes', which knows thousandths of a CPU.

    Example:
        >>> _cpu(2), _cpu(0.5)
        ('2', '500m')
    """
    thousandths = math.ceil(round(cpus * 1000, 6))
    whole, rest = divmod(thousandths, 1000)
    return f"{thousandths}m" if rest else str(whole)


def _toleration(toleration: Toleration) -> Manifest:
    values = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {name: value for name, value in values.items() if value is not None}
