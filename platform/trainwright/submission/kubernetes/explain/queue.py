"""Why a job waits in a queue of Kueue's."""

from __future__ import annotations

import re

from trainwright.submission.kubernetes import marks
from trainwright.submission.kubernetes.explain.refused import Told
from trainwright.submission.kubernetes.explain.scene import Scene, condition_of
from trainwright.submission.kubernetes.resources import labels_of

_PATIENCE_S = 20.0
_NO_QUEUE = re.compile(r"LocalQueue (?P<name>\S+) doesn't exist")


def in_queue(scene: Scene) -> Told:
    """Why a suspended job is not let in yet, and what to do."""
    queue = labels_of(scene.job).get(marks.QUEUE, "")
    where = f"it waits in the queue {queue}"
    if scene.workload is None:
        if "workloads" in scene.unseen:
            return where, "you may not read Kueue's workloads: ask for that right to see why"
        if scene.age_s < _PATIENCE_S:
            return where, "Kueue looks at it in a moment"
        mend = "is Kueue installed, with RayJobs among its integrations? see k8s/README.md"
        return f"{where}, but Kueue does not know of it", mend
    evicted, reserved = (
        condition_of(scene.workload, "Evicted"),
        condition_of(scene.workload, "QuotaReserved"),
    )
    message = " ".join(str(reserved.get("message") or "").split())
    if match := _NO_QUEUE.search(message):
        mend = "`kubectl get localqueues` shows those there are; correct `queue` in the profile"
        return f"there is no queue {match['name']} in the namespace", mend
    if reserved.get("reason") == "Inadmissible":
        return f"{where}, which lets nothing in: {message}", "ask whoever runs the cluster"
    if evicted.get("status") == "True" and evicted.get("reason") == "Preempted":
        cause = f"{where} again, since another job of higher priority took its place"
        return cause, "it goes on from its last checkpoint when there is room"
    if reserved.get("status") == "True":
        checks = _checks(scene)
        return f"{where}: there is room for it, and its checks are not done{checks}", "wait"
    if message:
        mend = "it begins when others end; ask for less, or for a larger quota, to begin sooner"
        return f"{where}: {message}", mend
    return where, "it begins when there is room"


def _checks(scene: Scene) -> str:
    states = ((scene.workload or {}).get("status") or {}).get("admissionChecks") or []
    open_ones = [
        f"{check.get('name')}: {check.get('message') or check.get('state')}"
        for check in states
        if check.get("state") != "Ready"
    ]
    return f" ({'; '.join(open_ones)})" if open_ones else ""
