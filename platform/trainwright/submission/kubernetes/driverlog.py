"""The log of a job over all its attempts, each of which has submitters of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.errors import Refusal, Unreachable
from trainwright.submission.kubernetes.kept import place_of
from trainwright.submission.kubernetes.lines import Attempt, Reader
from trainwright.submission.kubernetes.looking import Looker
from trainwright.submission.kubernetes.podlog import Pace, PodLog
from trainwright.submission.kubernetes.resources import RAYJOBS, Json, name_of
from trainwright.submission.kubernetes.states import attempts_of


class DriverLog:
    """What the driver of a job prints, as its submitters show it.

    Args:
        api: the API server.
        looker: looks at submissions.
        job: the RayJob.
        stop: ends it.
        pace: how long to wait.
    """

    def __init__(
        self, api: Api, looker: Looker, job: Json, stop: threading.Event, pace: Pace
    ) -> None:
        self._api = api
        self._looker = looker
        self._job = job
        self._stop = stop
        self._pace = pace
        self._read: set[str] = set()
        self._owner = ""
        self._number = 0
        self._attempt = Attempt()

    def so_far(self, pods: Sequence[Json]) -> Iterator[str]:
        """The lines that submitters have printed, the oldest first."""
        for pod in pods:
            yield from self._of(pod, follows=False)

    def follow(self, ends: threading.Event) -> Iterator[str]:
        """The lines, on and on.

        Args:
            ends: set when no more submitters come; it returns when those there are were read.
        """
        while not self._stop.is_set():
            is_last = ends.is_set()
            pods = self._unread()
            if pods:
                yield from self._of(pods[0], follows=True)
            elif is_last:
                return
            else:
                ends.wait(self._pace.look_s)

    def _unread(self) -> list[Json]:
        try:
            pods = self._looker.submitters(self._job)
        except Unreachable:
            return []
        return [
            pod
            for pod in pods
            if pod["metadata"]["uid"] not in self._read
            and (pod.get("status") or {}).get("containerStatuses")
        ]

    def _of(self, pod: Json, follows: bool) -> Iterator[str]:
        yield from self._begins(pod)
        readers: dict[int, Reader] = {}
        for run, text in PodLog(self._api, pod, follows, self._stop, self._pace).lines():
            if run not in readers:
                readers[run] = self._attempt.reader()
            yield from readers[run].new(text)
        self._read.add(pod["metadata"]["uid"])

    def _begins(self, pod: Json) -> Iterator[str]:
        """A line if the pod is the first that is seen of another attempt."""
        owners = pod["metadata"].get("ownerReferences") or [{}]
        owner = str(owners[0].get("uid") or "")
        if self._number and owner == self._owner:
            return
        number, most = self._attempts()
        place = None if self._number else place_of(self._job)
        self._owner, self._number = owner, max(self._number + 1, number)
        self._attempt = Attempt()
        if self._number > 1 and place:
            yield f"the logs of earlier attempts are in {place}"
        if self._number > 1:
            yield f"attempt {self._number} of {max(most, self._number)} begins"

    def _attempts(self) -> tuple[int, int]:
        try:
            job = self._api.find(RAYJOBS, self._job["metadata"]["namespace"], name_of(self._job))
        except (Unreachable, Refusal):
            job = None
        return attempts_of(job or self._job)
