"""What a cluster knows of a submission: the objects from which it is explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from trainwright.submission.kubernetes.resources import Json, labels_of, name_of
from trainwright.submission.kubernetes.states import seconds_of

NODE_TYPE = "ray.io/node-type"
JOB_NAME = "job-name"

_ORDER = {"head": 0, "worker": 1, "submitter": 2}


@dataclass(frozen=True)
class Scene:
    """The objects around a submission.

    Attributes:
        job: its RayJob.
        cluster: the RayCluster that the job runs on; None while there is none.
        pods: those of head, workers and submitter.
        events: about any of these: warnings, and that an image is being pulled.
        workload: Kueue's record; None where there is none.
        now: seconds since 1970.
        unseen: kinds of objects that the user may not read, as ``pods``.
    """

    job: Json
    cluster: Json | None = None
    pods: tuple[Json, ...] = ()
    events: tuple[Json, ...] = ()
    workload: Json | None = None
    now: float = 0.0
    unseen: tuple[str, ...] = ()

    @property
    def age_s(self) -> float:
        """Seconds since the job was made."""
        made = seconds_of(self.job.get("metadata", {}).get("creationTimestamp"))
        return 0.0 if made is None else self.now - made

    def messages(self, *reasons: str, about: str | None = None) -> list[str]:
        """The messages of events with one of these reasons, the newest first.

        Args:
            *reasons: of the events.
            about: name of the object; None: any.
        """
        found = [
            event
            for event in self.events
            if event.get("reason") in reasons
            and about in (None, (event.get("involvedObject") or {}).get("name"))
        ]
        found.sort(key=_moment, reverse=True)
        return [str(event.get("message") or event.get("note") or "") for event in found]


def role_of(pod: Json) -> str:
    """``head``, ``worker`` or ``submitter``."""
    return labels_of(pod).get(NODE_TYPE, "submitter")


def is_over(pod: Json) -> bool:
    """Whether nothing more will happen in a pod."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def by_role(pods: Iterable[Json]) -> list[Json]:
    """Head first, then workers, then submitters."""
    return sorted(pods, key=lambda pod: (_ORDER.get(role_of(pod), 3), name_of(pod)))


def who(pods: Iterable[Json]) -> str:
    """Pods in words: ``the head pod``, ``2 worker pods``."""
    counts = Counter(map(role_of, pods))
    parts = [
        f"the {role} pod"
        if role != "worker"
        else "1 worker pod"
        if many == 1
        else f"{many} worker pods"
        for role, many in sorted(counts.items(), key=lambda item: _ORDER.get(item[0], 3))
    ]
    return " and ".join(parts)


def condition_of(found: Json | None, kind: str) -> Json:
    """A condition of an object; empty if it has none such."""
    for condition in ((found or {}).get("status") or {}).get("conditions") or []:
        if condition.get("type") == kind:
            return dict(condition)
    return {}


def is_true(found: Json | None, kind: str) -> bool:
    """Whether a condition of an object holds."""
    return condition_of(found, kind).get("status") == "True"


def _moment(event: Json) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return next((str(time) for time in times if time), "")
