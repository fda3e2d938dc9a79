"""What a scheduler and a kubelet would do to a pod, done by a test."""

from __future__ import annotations

import time
from typing import Any

from kube.clock import now
from kube.logs import Logs, container_status
from kube.store import Json, Store

NODE = "node-1"


class Kubelet:
    """Moves pods through their lives.

    ``container`` is the pod's first unless it is named, the namespace ``default``.

    Args:
        store: where the pods are.
        logs: where their lines go.
    """

    def __init__(self, store: Store, logs: Logs) -> None:
        self._store = store
        self._logs = logs

    def hold(
        self, pod: str, reason: str = "ContainerCreating", message: str = "", **where: str
    ) -> Json:
        """The pod has a node, and the container waits, as for ``ImagePullBackOff``."""
        state = {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        return self._set(pod, state, **where)

    def run(self, pod: str, **where: str) -> Json:
        """The container runs; one that ran before runs again, and counts a restart."""
        return self._set(pod, {"running": {"startedAt": now()}}, **where)

    def log(self, pod: str, line: str, time_ns: int | None = None, **where: str) -> None:
        """A line for the log of the container, which is started unless it runs."""
        with self._store.changed:
            found = self._store.get("pods", pod, where.get("namespace", "default"))
            container = _named(found, where)
            if "running" not in container_status(found, container).get("state", {}):
                found = self.run(pod, **where)
            run = container_status(found, container)["restartCount"]
            moment = time.time_ns() if time_ns is None else time_ns
            self._logs.lines(found, container, run).append((moment, line))
            self._store.changed.notify_all()

    def exit(self, pod: str, code: int = 0, reason: str | None = None, **where: str) -> Json:
        """The container ends; with the last of them the pod has succeeded or failed."""
        reason = reason or ("Completed" if code == 0 else "Error")
        ended = {"exitCode": code, "reason": reason, "startedAt": now(), "finishedAt": now()}
        return self._set(pod, {"terminated": {**ended, "containerID": "containerd://1"}}, **where)

    def _set(self, pod: str, state: Json, **where: str) -> Json:
        namespace = where.get("namespace", "default")
        with self._store.changed:
            found = self._store.get("pods", pod, namespace)
            container = _named(found, where)
            statuses = [
                _moved(container_status(found, each["name"]), each, state, container)
                for each in found["spec"]["containers"]
            ]
            phase = _phase([each["state"] for each in statuses])
            changes = {
                "spec": {"nodeName": found["spec"].get("nodeName", NODE)},
                "status": {
                    "phase": phase,
                    "startTime": found.get("status", {}).get("startTime", now()),
                    "conditions": _conditions(phase),
                    "containerStatuses": statuses,
                },
            }
            return self._store.patch("pods", pod, changes, namespace)


def _named(pod: Json, where: dict[str, str]) -> str:
    name: str = where.get("container", pod["spec"]["containers"][0]["name"])
    return name


def _moved(before: Json, spec: Json, state: Json, container: str) -> Json:
    """Status of a container; the one named is in a new state."""
    old = before.get("state", {"waiting": {"reason": "ContainerCreating"}})
    last, count = before.get("lastState", {}), before.get("restartCount", 0)
    if spec["name"] == container:
        if "terminated" in old and "terminated" not in state:
            last = old
        if "running" in state and last and "running" not in old:
            count += 1
    else:
        state = old
    return {
        "name": spec["name"],
        "image": spec.get("image", ""),
        "imageID": "",
        "ready": "running" in state,
        "started": "running" in state,
        "restartCount": count,
        "state": state,
        "lastState": last,
    }


def _phase(states: list[Json]) -> str:
    if all("terminated" in state for state in states):
        failed = any(state["terminated"]["exitCode"] for state in states)
        return "Failed" if failed else "Succeeded"
    return "Running" if any("waiting" not in state for state in states) else "Pending"


def _conditions(phase: str) -> list[dict[str, Any]]:
    ready = "True" if phase == "Running" else "False"
    pairs = {"PodScheduled": "True", "Ready": ready, "ContainersReady": ready}
    return [
        {"type": kind, "status": status, "lastTransitionTime": now()}
        for kind, status in pairs.items()
    ]
