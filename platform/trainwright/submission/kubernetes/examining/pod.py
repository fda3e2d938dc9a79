"""The pod that looks at a cluster from inside: what a job's driver would find there."""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Event

from trainwright.doctor.finding import Finding
from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Refusal
from trainwright.submission.kubernetes.explain.containers import ended_badly
from trainwright.submission.kubernetes.explain.scene import NODE_TYPE, Scene
from trainwright.submission.kubernetes.explain.why import trouble_of
from trainwright.submission.kubernetes.podlog import Pace, PodLog
from trainwright.submission.kubernetes.rendering.extras import labels, parcel_map
from trainwright.submission.kubernetes.rendering.volumes import PARCEL_FOLDER, Mounted, of_submitter
from trainwright.submission.kubernetes.resources import CONFIGMAPS, EVENTS, PODS, Json, name_of
from trainwright.submission.parcel import Parcel
from trainwright.submission.probe import PROBE_MODULE, Hearing
from trainwright.submission.profile import Profile
from trainwright.submission.target import TargetError

LONGEST_S = 1200
"""Kubernetes ends the pod after so long, should nobody else do it."""

SHARED = "/dev/shm"  # noqa: S108 - of a pod of its own
_NAME = "probe pod"
_MENDS = {
    "memory": "raise `head.memory` in the profile",
    "/tmp": "raise `scratch` in the profile",  # noqa: S108 - of a pod of its own
    SHARED: "raise `head.memory` in the profile, of which it is a part",
}


@dataclass(frozen=True)
class Patience:
    """How long is waited for the pod to start, in seconds.

    Attributes:
        start_s: in all; large images take their time.
        trouble_s: for a trouble that may pass.
        look_s: between two looks.
    """

    start_s: float = 600.0
    trouble_s: float = 45.0
    look_s: float = 1.0


def probe_pod(name: str, template: Json, parcel: Parcel) -> Json:
    """The pod: as that of a job's driver, but that it looks around and then ends.

    Args:
        name: of the pod, and of the ConfigMap with what it is asked.
        template: of the pod with Ray's head.
        parcel: what it is asked.
    """
    template = copy.deepcopy(template)
    spec, container = template["spec"], template["spec"]["containers"][0]
    for key in ("ports", "lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        container.pop(key, None)
    container.update(command=["python", "-m", PROBE_MODULE], args=[], workingDir=PARCEL_FOLDER)
    spec.update(
        containers=[container],
        restartPolicy="Never",
        activeDeadlineSeconds=LONGEST_S,
        terminationGracePeriodSeconds=5,
    )
    for mounted in (of_submitter(name, parcel)[0], *_shared_memory(container)):
        spec.setdefault("volumes", []).append(mounted.volume)
        container.setdefault("volumeMounts", []).append(mounted.mount)
    return {
        "apiVersion": "v1",
        "kind": PODS.kind,
        "metadata": {"name": name, "labels": {**labels(name), NODE_TYPE: "probe"}},
        "spec": spec,
    }


def _shared_memory(container: Json) -> list[Mounted]:
    """As KubeRay mounts it into the containers of Ray, where they have none of their own."""
    if any(mount["mountPath"] == SHARED for mount in container.get("volumeMounts") or []):
        return []
    memory = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    size = {"sizeLimit": memory} if memory else {}
    return [Mounted({"name": "shared-mem", "emptyDir": {"medium": "Memory", **size}}, SHARED)]


class Probe:
    """Runs the pod, and removes it again.

    Args:
        api: the API server.
        profile: how jobs run.
        pace: how long to wait for its log.
        patience: how long to wait for its start.
        sleep: waits so many seconds.
    """

    def __init__(
        self,
        api: Api,
        profile: Profile,
        pace: Pace,
        sleep: Callable[[float], None],
        patience: Patience | None = None,
    ) -> None:
        self._api = api
        self._profile = profile
        self._namespace = profile.namespace
        self._pace = pace
        self._sleep = sleep
        self._patience = patience or Patience()

    def findings(self, template: Json, parcel: Parcel) -> Generator[Finding, None, None]:
        """What the pod finds, or why it does not start; nothing of it is left.

        Args:
            template: of the pod with Ray's head.
            parcel: what it is asked.
        """
        name = f"doctor-{uuid.uuid4().hex[:12]}"
        try:
            pod = self._make(name, template, parcel)
            yield from self._watched(pod)
        except Refusal as error:
            problem = error.problems[0]
            yield Finding(
                _NAME, "stop", problem.message, problem.mend or "ask who runs the cluster"
            )
        finally:
            self._remove(name)

    def _make(self, name: str, template: Json, parcel: Parcel) -> Json:
        config = parcel_map(name, parcel, self._profile)
        self._api.create(CONFIGMAPS, self._namespace, config)
        pod = self._api.create(PODS, self._namespace, probe_pod(name, template, parcel))
        metadata = pod["metadata"]
        owner = {
            "apiVersion": "v1",
            "kind": PODS.kind,
            "name": name,
            "uid": metadata["uid"],
        }
        with suppress(Refusal):  # without that right it is removed by its name
            changes = {"metadata": {"ownerReferences": [owner]}}
            self._api.patch(CONFIGMAPS, self._namespace, name, changes)
        return pod

    def _remove(self, name: str) -> None:
        for resource in (PODS, CONFIGMAPS):
            with suppress(TargetError):  # Kubernetes ends the pod after a while
                self._api.delete(resource, self._namespace, name)

    def _watched(self, pod: Json) -> Iterator[Finding]:
        begun = time.monotonic()
        trouble = self._trouble_at_start(pod)
        if trouble is not None:
            yield trouble
            return
        passed = time.monotonic() - begun
        image = pod["spec"]["containers"][0]["image"]
        yield Finding(_NAME, "ok", f"{image} started after {passed:.0f} s")
        hearing = Hearing()
        for _, line in PodLog(self._api, pod, True, Event(), self._pace).lines():
            if finding := hearing.hear(line):
                yield _in_terms_of_the_profile(finding)
        if not hearing.is_over:
            yield self._broken_off(name_of(pod), hearing)

    def _trouble_at_start(self, pod: Json) -> Finding | None:
        """Why its container does not begin; None once it has."""
        begun = time.monotonic()
        troubled: float | None = None
        while True:
            now = self._api.find(PODS, self._namespace, name_of(pod))
            if now is None:
                return Finding(_NAME, "stop", "somebody deleted it", "ask again")
            if _has_begun(now):
                return None
            told = trouble_of(Scene({}, pods=(now,), events=tuple(self._warnings(now))))
            clock = time.monotonic()
            troubled = None if told is None else clock if troubled is None else troubled
            if told and troubled is not None and clock - troubled >= self._patience.trouble_s:
                return Finding(_NAME, "stop", *told)
            if clock - begun >= self._patience.start_s:
                says = f"it has not started within {self._patience.start_s:.0f} s"
                mend = "is the image large, or the node slow? ask again; --no-probe leaves it out"
                return Finding(_NAME, "stop", says, mend)
            self._sleep(self._patience.look_s)

    def _warnings(self, pod: Json) -> list[Json]:
        fields = f"type=Warning,involvedObject.name={name_of(pod)}"
        try:
            return self._api.list(EVENTS, self._namespace, fields=fields).items
        except Refusal as error:
            if error.status != 403:
                raise
            return []

    def _broken_off(self, name: str, hearing: Hearing) -> Finding:
        now = self._api.find(PODS, self._namespace, name)
        if now is None:
            return hearing.broken_off("somebody deleted the pod")
        killed = ended_badly([now])
        if killed is not None:
            return Finding(_NAME, "stop", *killed[1])
        status = now.get("status") or {}
        if status.get("reason") == "DeadlineExceeded":
            return hearing.broken_off(f"it took longer than {LONGEST_S} s")
        state = ((status.get("containerStatuses") or [{}])[0].get("state") or {}).get("terminated")
        return hearing.broken_off(f"it ended with status {(state or {}).get('exitCode', '?')}")


def _has_begun(pod: Json) -> bool:
    status = pod.get("status") or {}
    if status.get("phase") in ("Running", "Succeeded", "Failed"):
        return True
    states = [one.get("state") or {} for one in status.get("containerStatuses") or []]
    return any("running" in state or "terminated" in state for state in states)


def _in_terms_of_the_profile(finding: Finding) -> Finding:
    """What a pod finds too small is mended in the profile."""
    mend = _MENDS.get(finding.name)
    return replace(finding, mend=mend) if finding.state != "ok" and mend else finding
