"""A job's log to its end, with its states in between, over connections that may break."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

from trainwright.submission.ray_jobs.describing import described, progress_in
from trainwright.submission.ray_jobs.errors import Answered, Unreachable
from trainwright.submission.ray_jobs.lines import Lines
from trainwright.submission.ray_jobs.tailing import Tail
from trainwright.submission.target import Submission, TargetLost

if TYPE_CHECKING:
    from trainwright.submission.ray_jobs.client import Client

SILENCE_S = 300.0
"""A cluster that does not answer for so long is given up."""

LOOK_S = 2.0
"""Seconds between two questions for the state."""

STALE_S = 60.0
"""A stream that brings nothing for so long is made anew: it may be dead without a sign."""

_AGAIN = "submitting the same job again goes on from its last checkpoint"


class Following:
    """One job that is watched to its end.

    Args:
        client: of the cluster.
        first: the job as it is now.
    """

    def __init__(self, client: Client, first: Submission) -> None:
        self._client = client
        self._now = first
        self._lines = Lines()
        self._last: deque[str] = deque(maxlen=100)
        self._heard = time.monotonic()

    def events(self) -> Iterator[str | Submission]:
        """Lines of the log, and the job whenever its state changes; last the job when it has ended.

        Raises:
            TargetLost: the cluster was silent for too long, or does not know the job any more.
            TargetError: it does not let the user in any more.
        """
        if not self._now.has_ended:
            yield self._now
        while not self._now.has_ended:
            with closing(Tail(self._client, self._now.id)) as tail:
                has_brought = yield from self._stream(tail)
            if self._now.has_ended:
                break
            if not has_brought:  # a proxy may let HTTP through and no stream
                yield from self._whole()
            time.sleep(LOOK_S)
            yield from self._look()
        yield from self._rest()
        yield dataclasses.replace(self._now, progress=progress_in(self._last))

    def _stream(self, tail: Tail) -> Generator[str | Submission, None, bool]:
        """What a stream brings until it or the job ends; whether it brought anything."""
        self._lines.restart()
        fresh = looked = time.monotonic()
        has_brought = False
        while not self._now.has_ended and time.monotonic() - fresh < STALE_S:
            piece = tail.next(LOOK_S)
            if piece is None:
                break
            if piece:
                has_brought, fresh = True, time.monotonic()
                yield from self._taken(piece)
            if time.monotonic() - looked >= LOOK_S:
                yield from self._look()
                looked = time.monotonic()
        return has_brought

    def _rest(self) -> Iterator[str]:
        """What the log of a job that has ended holds besides."""
        while True:
            try:
                yield from self._whole_or_error()
            except Answered:
                break  # the machine that had it is gone
            except Unreachable:
                self._be_patient()
                time.sleep(LOOK_S)
            else:
                break
        yield from self._lines.end()

    def _whole(self) -> Iterator[str]:
        try:
            yield from self._whole_or_error()
        except (Answered, Unreachable):
            return  # the question for the state that follows tells what that means

    def _whole_or_error(self) -> Iterator[str]:
        text = self._client.get_job_logs(self._now.id)
        self._lines.restart()
        yield from self._taken(text)

    def _taken(self, piece: str) -> Iterator[str]:
        for line in self._lines.take(piece):
            self._last.append(line)
            yield line

    def _look(self) -> Iterator[Submission]:
        """Ask for the state; the job, where that has changed and is not its last."""
        try:
            details = self._client.get_job_info(self._now.id)
        except Answered as error:
            if error.status == 404:
                raise self._forgotten() from error
            if error.status < 500:
                raise
            self._be_patient()
            return
        except Unreachable:
            self._be_patient()
            return
        self._heard = time.monotonic()
        before, now = self._now, described(self._client.url, details)
        if now.submitted != before.submitted:
            raise self._forgotten()
        self._now = now
        if (now.state, now.says) != (before.state, before.says) and not now.has_ended:
            yield dataclasses.replace(now, progress=progress_in(self._last))

    def _be_patient(self) -> None:
        if time.monotonic() - self._heard > SILENCE_S:
            raise TargetLost(
                f"the Ray cluster at {self._client.url} has not answered for {SILENCE_S:.0f} s; if "
                f"it is there, the job goes on; if it is gone, start one: {_AGAIN}"
            )

    def _forgotten(self) -> TargetLost:
        return TargetLost(
            f"the Ray cluster at {self._client.url} does not know {self._now.id} any more: it was "
            f"started anew, or the job was deleted; {_AGAIN}"
        )
