"""Logs of containers, as a kubelet hands them out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from kube import errors
from kube.clock import nanoseconds, stamp
from kube.errors import ApiError, cause
from kube.requests import Request
from kube.store import Json, Store
from kube.streams import Stream

Line = tuple[int, str]
"""When (nanoseconds since the epoch), and what."""

MOMENT_S = 0.25
WAITING = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}


class Logs:
    """Lines of containers, one list for each time that a container ran.

    Args:
        store: where the pods are; its lock guards the lines.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[tuple[str, str, int], list[Line]] = {}

    def lines(self, pod: Json, container: str, run: int) -> list[Line]:
        """The lines of one run of a container, to be read and appended to."""
        return self._lines.setdefault((pod["metadata"]["uid"], container, run), [])

    def answer(self, pod: Json, request: Request) -> Stream | None:
        """What a request for a log gets; None, nothing: the pod has no node yet.

        Raises:
            ApiError: 400 if the container has no log, 422 for options that cannot be.
        """
        query = request.query
        since_ns = _since(pod["metadata"]["name"], query)
        container = _container(pod, query.get("container", ""))
        if not pod["spec"].get("nodeName"):
            return None
        run = _run(pod, container, query.get("previous") == "true")
        kept = [line for line in self.lines(pod, container, run) if line[0] >= since_ns]
        first = len(self.lines(pod, container, run)) - len(kept)
        if "tailLines" in query:
            first += max(len(kept) - int(query["tailLines"]), 0)
        stream = Stream(request)
        stream.pieces = self._pieces(stream, pod, container, run, first)
        return stream

    def _pieces(
        self, stream: Stream, pod: Json, container: str, run: int, place: int
    ) -> Iterator[bytes | None]:
        query = stream.request.query
        follow, stamped = query.get("follow") == "true", query.get("timestamps") == "true"
        left = int(query["limitBytes"]) if "limitBytes" in query else None
        while True:
            with self._store.changed:
                fresh = self.lines(pod, container, run)[place:]
                goes_on = follow and self._runs(pod, container, run)
                if goes_on and not fresh:
                    self._store.changed.wait(MOMENT_S)
                    fresh = self.lines(pod, container, run)[place:]
                if stream.ending:
                    return
            for time_ns, text in fresh:
                line = f"{stamp(time_ns)} {text}\n" if stamped else f"{text}\n"
                piece = line.encode()[:left]
                left = None if left is None else left - len(piece)
                yield piece
            place += len(fresh)
            if left == 0 or not (goes_on or fresh):
                return
            if not fresh:
                yield None

    def _runs(self, pod: Json, container: str, run: int) -> bool:
        """Whether a container is still in its run, and its pod there."""
        metadata = pod["metadata"]
        now = self._store.peek(("pods", metadata["namespace"], metadata["name"]))
        if now is None or now["metadata"]["uid"] != metadata["uid"]:
            return False
        status = container_status(now, container)
        return "running" in status.get("state", {}) and status["restartCount"] == run


def container_status(pod: Mapping[str, Any], container: str) -> Json:
    """Status of a container; empty if there is none."""
    status = pod.get("status", {})
    known = status.get("containerStatuses", []) + status.get("initContainerStatuses", [])
    return next((each for each in known if each["name"] == container), {})


def _since(pod: str, query: Mapping[str, str]) -> int:
    """Lines before this time (nanoseconds) are left out.

    The API server passes whole seconds on to the kubelet: lines of the same second come again.
    """
    causes = []
    if "sinceSeconds" in query and "sinceTime" in query:
        message = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"
        causes.append(cause("", message, "FieldValueForbidden"))
    for field, least in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        if field in query and int(query[field]) < least:
            message = f"must be greater than {'or equal to ' if least == 0 else ''}0"
            causes.append(cause(field, f"Invalid value: {query[field]}: {message}"))
    if causes:
        raise errors.invalid("PodLogOptions", "", pod, causes)
    if "sinceTime" in query:
        try:
            return nanoseconds(query["sinceTime"]) // 10**9 * 10**9
        except ValueError as error:
            raise ApiError(400, str(error)) from error
    if "sinceSeconds" in query:
        return time.time_ns() - int(query["sinceSeconds"]) * 10**9
    return 0


def _container(pod: Json, wanted: str) -> str:
    name, spec = pod["metadata"]["name"], pod["spec"]
    names = [each["name"] for each in spec["containers"]]
    first = [each["name"] for each in spec.get("initContainers", [])]
    if wanted and wanted not in names + first:
        raise ApiError(400, f"container {wanted} is not valid for pod {name}")
    if wanted or len(names) == 1:
        return wanted or names[0]
    others = f" or one of the init containers: [{' '.join(first)}]" if first else ""
    choice = f"choose one of: [{' '.join(names)}]{others}"
    raise ApiError(400, f"a container name must be specified for pod {name}, {choice}")


def _run(pod: Json, container: str, previous: bool) -> int:
    """Which run of the container the log is of."""
    status, name = container_status(pod, container), pod["metadata"]["name"]
    state, ended_before = status.get("state", {}), status.get("lastState", {}).get("terminated")
    run: int = status.get("restartCount", 0)
    if previous:
        if not ended_before:
            raise ApiError(
                400, f'previous terminated container "{container}" in pod "{name}" not found'
            )
        return run if "waiting" in state else run - 1
    if "running" in state or "terminated" in state or ended_before:
        return run
    if "waiting" in state:
        reason = state["waiting"].get("reason", "ContainerCreating")
        why = WAITING.get(reason, reason)
        raise ApiError(400, f'container "{container}" in pod "{name}" is waiting to start: {why}')
    raise ApiError(400, f'container "{container}" in pod "{name}" is not available')
