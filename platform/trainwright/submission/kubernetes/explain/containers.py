"""Why pods that have a node do not run, or ended: from the states of their containers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from trainwright.submission.kubernetes.explain.images import not_pulled
from trainwright.submission.kubernetes.explain.refused import Told
from trainwright.submission.kubernetes.explain.scene import (
    Scene,
    condition_of,
    role_of,
    who,
)
from trainwright.submission.kubernetes.resources import Json, name_of

_IMAGE = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
)
_CONFIG = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError")
_MISSING = re.compile(
    r'(?P<kind>secrets?|configmaps?|ConfigMaps?|Secrets?) "(?P<name>[^"]+)" not found',
    re.IGNORECASE,
)
_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)")
_DISRUPTED = {
    "PreemptionByScheduler": "a pod of higher priority took its place",
    "DeletionByTaintManager": "its node failed or was tainted",
    "EvictionByEvictionAPI": "its node was drained",
    "DeletionByPodGC": "its node is gone",
    "TerminationByKubelet": "its node ran short, or was shut down",
}


def not_running(pods: Sequence[Json], scene: Scene) -> tuple[list[Json], Told] | None:
    """The first trouble that pods have with their containers, and those that have it.

    Args:
        pods: in the order in which they matter.
        scene: what is known besides.
    """
    for pod in pods:
        told = _container_trouble(pod, scene) or _mount_trouble(pod, scene)
        if told is not None:
            same = [
                other
                for other in pods
                if role_of(other) == role_of(pod)
                and (_container_trouble(other, scene) or _mount_trouble(other, scene)) == told
            ]
            return same, told
    return None


def ended_badly(pods: Sequence[Json]) -> tuple[list[Json], Told] | None:
    """Pods that were killed: out of memory, evicted, preempted, or in a loop of crashes."""
    for pod in pods:
        told = _death(pod)
        if told is not None:
            return [other for other in pods if _death(other) == told], told
    return None


def is_being_made(pod: Json) -> bool:
    """Whether a pod has a node, which makes its first container."""
    waiting = [(container.get("state") or {}).get("waiting") or {} for container in _statuses(pod)]
    return any(one.get("reason") in ("ContainerCreating", "PodInitializing") for one in waiting)


def _statuses(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_trouble(pod: Json, scene: Scene) -> Told | None:
    for container in _statuses(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
        if reason in _IMAGE:
            more = scene.messages("Failed", about=name_of(pod))
            image = str(container.get("image") or "")
            return not_pulled(image, reason, " ".join([message, *more]))
        if reason in _CONFIG:
            return _config(message, reason)
    return None


def _config(message: str, reason: str) -> Told:
    if match := _MISSING.search(message):
        return _absent(match["kind"], match["name"])
    if match := _KEY.search(message):
        name = match["name"].rpartition("/")[2]
        cause = f"the {match['kind']} {name} has no entry {match['key']}"
        return (
            cause,
            f"`kubectl describe {match['kind'].lower()} {name}` shows those it has",
        )
    if "runAsNonRoot" in message or "run as root" in message:
        return "the image wants to run as root", "build it from k8s/Dockerfile, which does not"
    return f"its container cannot be made: {message or reason}", "correct the image or the profile"


def _absent(kind: str, name: str) -> Told:
    is_secret = kind.lower().startswith("secret")
    what = "Secret" if is_secret else "ConfigMap"
    mend = (
        f"`kubectl create secret generic {name} --from-literal=NAME=VALUE`, or correct the profile"
        if is_secret
        else "was it deleted? delete the submission and send the job again"
    )
    return f"the {what} {name} does not exist", mend


def _mount_trouble(pod: Json, scene: Scene) -> Told | None:
    if (pod.get("status") or {}).get("phase") != "Pending":
        return None
    for message in scene.messages("FailedMount", "FailedAttachVolume", about=name_of(pod)):
        if match := _MISSING.search(message):
            return _absent(match["kind"], match["name"])
        short = " ".join(message.split())[:300]
        return f"a volume is not mounted: {short}", "`kubectl describe pod` says more"
    return None


def _death(pod: Json) -> Told | None:
    status = pod.get("status") or {}
    for container in _statuses(pod):
        state, last = container.get("state") or {}, container.get("lastState") or {}
        dead = state.get("terminated") or last.get("terminated") or {}
        if dead.get("reason") == "OOMKilled":
            memory = _memory(pod, str(container.get("name")))
            part = role_of(pod)
            place = f"`{part}.memory`" if part in ("head", "worker") else "memory"
            cause = f"it took more memory than its {memory}, and was killed"
            return cause, f"raise {place} in the profile, or take a smaller batch"
        if (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff":
            code = dead.get("exitCode", "?")
            command = f"`kubectl logs {name_of(pod)} -c {container.get('name')} --previous`"
            return f"it ends again and again, with status {code}", f"{command} shows why"
    if status.get("reason") == "Evicted":
        message = " ".join(str(status.get("message") or "").split())
        mend = "raise `scratch` or the memory in the profile" if message else "send it again"
        return f"its node put it out: {message}", mend
    disrupted = condition_of(pod, "DisruptionTarget")
    if disrupted.get("status") == "True":
        why = _DISRUPTED.get(str(disrupted.get("reason")), str(disrupted.get("message") or ""))
        return why, "nothing need be done: a new attempt goes on from the last checkpoint"
    return None


def _memory(pod: Json, container: str) -> str:
    for spec in (pod.get("spec") or {}).get("containers") or []:
        if spec.get("name") == container:
            limits = (spec.get("resources") or {}).get("limits") or {}
            return str(limits.get("memory") or "memory")
    return "memory"


def sentence(pods: Sequence[Json], told: Told) -> str:
    """``the head pod: cause; mend``."""
    return f"{who(pods)}: {told[0]}; {told[1]}"
