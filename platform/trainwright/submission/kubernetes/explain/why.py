"""Why a submission waits, or why its last attempt failed, in one line."""

from __future__ import annotations

import re

from trainwright.submission.kubernetes.explain.containers import (
    ended_badly,
    is_being_made,
    not_running,
    sentence,
)
from trainwright.submission.kubernetes.explain.queue import in_queue
from trainwright.submission.kubernetes.explain.refused import Told, refused
from trainwright.submission.kubernetes.explain.scene import (
    Scene,
    by_role,
    condition_of,
    is_over,
    is_true,
    role_of,
    who,
)
from trainwright.submission.kubernetes.explain.scheduling import no_node
from trainwright.submission.kubernetes.resources import Json, name_of
from trainwright.submission.kubernetes.states import is_suspended, state_of, was_stopped

_PATIENCE_S = 15.0
"""Seconds that KubeRay takes at most until it has looked at a new RayJob."""

_ASK = "is its operator running? `kubectl get pods -A -l app.kubernetes.io/name=kuberay-operator`"


_KUBECTL = re.compile(r"`kubectl (?![^`]* -A)")


def why(scene: Scene) -> str:
    """One line: why the submission waits or has failed, and what to do; empty where nothing is.

    What stands in the way first is told first: a queue, then what keeps pods from being made, from
    finding a node, and from running. Commands can be pasted as they stand.
    """
    namespace = scene.job.get("metadata", {}).get("namespace")
    return _KUBECTL.sub(f"`kubectl -n {namespace} ", _why(scene))


def _why(scene: Scene) -> str:
    state, _ = state_of(scene.job)
    if state in ("finished", "stopped"):
        return ""
    if state == "failed":
        killed = ended_badly(by_role(scene.pods))
        return sentence(*killed) if killed else ""
    told = _not_begun(scene) or _no_pods(scene)
    if told is not None:
        return "; ".join(told)
    told = trouble_of(scene)
    if told is not None:
        return "; ".join(told)
    return _so_far(scene) if state == "waiting" else ""


def _not_begun(scene: Scene) -> Told | None:
    status = scene.job.get("status") or {}
    deployment = status.get("jobDeploymentStatus") or ""
    if is_suspended(scene.job) and not was_stopped(scene.job):
        return in_queue(scene) if deployment in ("", "Suspended") else None
    if not deployment and scene.age_s > _PATIENCE_S:
        return f"KubeRay has not looked at it for {scene.age_s:.0f} s", _ASK
    return None


def _no_pods(scene: Scene) -> Told | None:
    """What keeps its cluster, or pods, from being made."""
    selector = (scene.job.get("spec") or {}).get("clusterSelector") or {}
    if selector and scene.cluster is None and "rayclusters" not in scene.unseen:
        name = selector.get("ray.io/cluster")
        mend = "`kubectl get rayclusters` shows those there are; correct `cluster` in the profile"
        return f"there is no RayCluster {name} in the namespace", mend
    failure = condition_of(scene.cluster, "ReplicaFailure")
    if failure.get("status") == "True":
        return _made_by_nobody(str(failure.get("message") or ""), "its pods are not made")
    if not _has(scene, "head"):
        for message in scene.messages("FailedToCreateHeadPod", "FailedToCreateRayCluster"):
            return _made_by_nobody(message, "its pods are not made")
    if (
        scene.cluster is not None
        and is_true(scene.cluster, "RayClusterProvisioned")
        and not _has(scene, "submitter")
    ):
        for message in scene.messages("FailedCreate", "FailedToCreateRayJobSubmitter"):
            return _made_by_nobody(message, "its submitter pod is not made")
    return None


def _made_by_nobody(message: str, what: str) -> Told:
    cause, mend = refused(message)
    return f"{what}: {cause}", mend


def _has(scene: Scene, role: str) -> bool:
    return any(role_of(pod) == role for pod in scene.pods)


def trouble_of(scene: Scene) -> Told | None:
    """What is wrong with the pods that are there, and what to do; None where nothing is."""
    pods = [pod for pod in by_role(scene.pods) if not pod["metadata"].get("deletionTimestamp")]
    waiting = [pod for pod in pods if _no_place(pod)]
    for pod in waiting:
        message = _no_place(pod)
        same = [o for o in waiting if role_of(o) == role_of(pod) and _no_place(o) == message]
        return no_node(same, message)
    found = not_running(pods, scene) or ended_badly(
        [pod for pod in pods if role_of(pod) != "submitter"]
    )
    if found is None:
        return None
    who_has_it, (cause, mend) = found
    return f"{who(who_has_it)}: {cause}", mend


def _no_place(pod: Json) -> str:
    """What the scheduler says about a pod that has no node; empty if it has one."""
    condition = condition_of(pod, "PodScheduled")
    if condition.get("status") == "False" and condition.get("reason") == "Unschedulable":
        return str(condition.get("message") or "the scheduler does not say why")
    if condition.get("reason") == "SchedulingGated":
        return "its scheduling is gated"
    return ""


def _so_far(scene: Scene) -> str:
    """How far pods are that have no trouble."""
    if (scene.job.get("status") or {}).get("jobDeploymentStatus") == "Retrying":
        return ""  # these are the last attempt's, which end
    ready = pods_line(scene) if scene.pods else ""
    pulling = [
        pod
        for pod in by_role(scene.pods)
        if is_being_made(pod) and scene.messages("Pulling", about=name_of(pod))
    ]
    if pulling:
        pull = "pulls" if len(pulling) == 1 else "pull"
        return f"{who(pulling)} {pull} the image: {ready}"
    return f"its pods begin: {ready}" if ready else ""


def pods_line(scene: Scene) -> str:
    """How many are ready: ``head 1 of 1, workers 1 of 2``."""
    parts = []
    for role, word in (("head", "head"), ("worker", "workers"), ("submitter", "submitter")):
        pods = [pod for pod in scene.pods if role_of(pod) == role and not is_over(pod)]
        wanted = max(len(pods), _desired(scene.cluster) if role == "worker" else 0)
        if wanted:
            ready = sum(is_true(pod, "Ready") for pod in pods)
            parts.append(f"{word} {ready} of {wanted}")
    return ", ".join(parts)


def _desired(cluster: Json | None) -> int:
    groups = ((cluster or {}).get("spec") or {}).get("workerGroupSpecs") or []
    return sum(int(group.get("replicas") or 0) for group in groups)
