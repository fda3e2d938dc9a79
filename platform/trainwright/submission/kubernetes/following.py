"""A job followed to its end: its log line by line, and its state whenever that changes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from trainwright.submission.kubernetes.api import Api
from trainwright.submission.kubernetes.driverlog import DriverLog
from trainwright.submission.kubernetes.errors import Refusal, Unreachable
from trainwright.submission.kubernetes.looking import Looker
from trainwright.submission.kubernetes.podlog import Pace
from trainwright.submission.kubernetes.resources import Json, name_of
from trainwright.submission.kubernetes.states import has_ended, submission_of
from trainwright.submission.kubernetes.watching import Watcher
from trainwright.submission.target import Submission, TargetLost

THREADS = "trainwright-follow"
"""Name of the threads; they end a moment after whoever follows does."""

_ROOM = 10_000
"""Lines that may wait for whoever reads them."""


@dataclass(frozen=True)
class _News:
    """Something that one of the threads has found out.

    Attributes:
        kind: a line of the log, a change of the RayJob, the log's end, an error, or nothing.
        line: of the log.
        job: the RayJob; None once it is gone.
        error: what ended a thread.
    """

    kind: Literal["line", "job", "drained", "error", "nothing"]
    line: str = ""
    job: Json | None = None
    error: Exception | None = None


class Follower:
    """Follows one job. A thread watches the RayJob, another reads the log.

    Args:
        api: the API server.
        looker: looks at submissions.
        job: the RayJob.
        label: the target in words.
        pace: how long to wait for what.
    """

    def __init__(self, api: Api, looker: Looker, job: Json, label: str, pace: Pace) -> None:
        self._api = api
        self._looker = looker
        self._job = job
        self._label = label
        self._pace = pace
        self._stop = threading.Event()
        self._ends = threading.Event()
        self._news: queue.Queue[_News] = queue.Queue(_ROOM)
        self._told: Submission | None = None
        self._looked = float("-inf")

    def events(self) -> Iterator[str | Submission]:
        """Lines and states; the last is a submission that has ended.

        Raises:
            TargetLost: the API server did not answer for too long.
            TargetError: it refuses.
        """
        for work in (self._watch, self._read):
            threading.Thread(target=self._guarded, args=(work,), name=THREADS, daemon=True).start()
        try:
            yield from self._tell()
            yield from self._until_it_ends()
            yield from self._rest_of_log()
            yield self._last()
        finally:
            self._stop.set()
            self._ends.set()

    def _until_it_ends(self) -> Iterator[str | Submission]:
        while not has_ended(self._job):
            news = self._next(self._pace.look_s)
            if news.kind == "line":
                yield news.line
                continue
            if news.kind == "job":
                if news.job is None:
                    self._job = _deleted(self._job)
                    return
                self._job = news.job
            yield from self._tell()

    def _rest_of_log(self) -> Iterator[str]:
        """What is still to come, until it is all there or nothing comes any more."""
        self._ends.set()
        while True:
            news = self._next(self._pace.drain_s)
            if news.kind in ("drained", "nothing"):
                return
            if news.kind == "line":
                yield news.line

    def _next(self, timeout_s: float) -> _News:
        try:
            news = self._news.get(timeout=timeout_s)
        except queue.Empty:
            return _News("nothing")
        if news.error is not None:
            raise news.error
        return news

    def _tell(self) -> Iterator[Submission]:
        """The state, if it is another than was told."""
        told = self._looked_at()
        if told != self._told:
            self._told = told
            yield told

    def _looked_at(self) -> Submission:
        plain = submission_of(self._job)
        last, now = self._told, time.monotonic()
        every_s = self._pace.calm_s if plain.state == "running" else self._pace.look_s
        if last is not None and last.state == plain.state and now - self._looked < every_s:
            return replace(plain, says=last.says, details={**last.details, **plain.details})
        try:
            found = self._looker.look(self._job)
        except (Unreachable, Refusal) as error:
            return self._without_answer(error, last or plain)
        self._looked = time.monotonic()
        return found

    def _without_answer(self, error: Unreachable | Refusal, last: Submission) -> Submission:
        """The last that is known, while the server may answer again.

        Raises:
            TargetLost: it has not answered for too long.
        """
        if isinstance(error, Refusal) and error.status < 500 and error.status != 429:
            raise error
        silent_s = time.monotonic() - self._api.last_answer
        if silent_s > self._pace.lost_s:
            raise TargetLost(
                f"{self._label} has not answered for {silent_s:.0f} s; the job goes on without it"
            ) from error
        return replace(last, says="the API server does not answer now; trying again")

    def _last(self) -> Submission:
        try:
            return self._looker.look(self._job)
        except (Unreachable, Refusal):
            return submission_of(self._job)

    def _watch(self) -> None:
        metadata = self._job["metadata"]
        watcher = Watcher(
            self._api, metadata["namespace"], name_of(self._job), self._stop, self._pace.retry_s
        )
        for job in watcher.changes():
            self._put(_News("job", job=job))

    def _read(self) -> None:
        log = DriverLog(self._api, self._looker, self._job, self._stop, self._pace)
        for line in log.follow(self._ends):
            self._put(_News("line", line=line))
        self._put(_News("drained"))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self._put(_News("error", error=error))

    def _put(self, news: _News) -> None:
        while not self._stop.is_set():
            try:
                self._news.put(news, timeout=1.0)
            except queue.Full:
                continue
            return


def _deleted(job: Json) -> Json:
    """A RayJob that is gone, as one on its way out."""
    metadata = {**job["metadata"], "deletionTimestamp": "now"}
    return {**job, "metadata": metadata}
