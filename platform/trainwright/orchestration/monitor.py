"""Progress from the workers to the driver, and the request to stop back to them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from trainwright.orchestration.vitals import Vitals

SECONDS_BETWEEN_BEATS = 0.3
SECONDS_BETWEEN_VITALS = 1.0
MOST_VITALS_PER_S = 200.0
"""That all workers together send. The board takes a quarter of a millisecond for each
(``jobs/benchmarks``, scaling), which is a twentieth of its time."""


class Pace:
    """When a worker tells the driver how it is; the more there are, the less often each does.

    At once in the beginning and when it has to leave; else again and again, each worker at a moment
    of its own, lest those who begin together come together for ever.

    Args:
        rank: this worker; 0, which has progress to tell, does so whenever it looks.
        workers: how many there are.

    Attributes:
        look_s: seconds between looks at whether something is to be told.
    """

    def __init__(self, rank: int, workers: int) -> None:
        self.look_s = SECONDS_BETWEEN_BEATS if rank == 0 else SECONDS_BETWEEN_VITALS
        looks = 1 if rank == 0 else math.ceil(workers / MOST_VITALS_PER_S / self.look_s)
        self._interval_s = looks * self.look_s
        self._share = rank / workers
        self._due: float | None = None
        self._leaving = False

    def is_due(self, now: float, leaving: bool) -> bool:
        """Whether to tell it now, in seconds of any clock."""
        return self._due is None or now >= self._due or leaving != self._leaving

    def told(self, now: float, leaving: bool) -> None:
        """It has reached the driver."""
        if self._due is None:
            self._due = now + self._share * self._interval_s
        else:
            self._due = now + self._interval_s - self.look_s / 2  # rather than a look later
        self._leaving = leaving


class LocalMonitor:
    """Progress inside one process; also what the Ray actor holds."""

    needs_checkpoints = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._progress: dict[str, Any] = {}
        self._stop = False

    def show(self, progress: Mapping[str, Any]) -> None:
        """Keep the newest progress."""
        with self._lock:
            self._progress.update(progress)

    def progress(self) -> dict[str, Any]:
        """The newest progress."""
        with self._lock:
            return dict(self._progress)

    def request_stop(self) -> None:
        """Ask training to write a checkpoint and stop."""
        self._stop = True

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop


class BoardActor(LocalMonitor):
    """The driver's end as a Ray actor: one call hands over news and brings back the wish."""

    def __init__(self) -> None:
        super().__init__()
        self._vitals: dict[int, Vitals] = {}

    def begin(self) -> None:
        """A new group of workers begins; nobody has asked it to stop yet."""
        self._vitals.clear()
        self._stop = False

    def exchange(self, progress: Mapping[str, Any], rank: int, vitals: Vitals) -> bool:
        """Take a worker's news, tell whether to stop: one that has to leave stops all."""
        self.show(progress)
        self._vitals[rank] = vitals.since(self._vitals.get(rank))
        self._stop = self._stop or vitals.leaving
        return self.stop_requested

    def vitals(self) -> dict[int, Vitals]:
        """Of each worker of the present group that got as far as to tell."""
        return dict(self._vitals)


class RemoteMonitor:
    """A worker's end: a thread exchanges news with the driver's actor, training never waits.

    Args:
        actor: handle of a :class:`BoardActor`.
        rank: this worker; 0 is the one with progress to tell.
        vitals: gives those of this worker.
        workers: how many there are.
    """

    needs_checkpoints = False

    def __init__(
        self, actor: Any, rank: int, vitals: Callable[[], Vitals], workers: int = 1
    ) -> None:
        self._actor = actor
        self._rank = rank
        self._vitals = vitals
        self._pace = Pace(rank, workers)
        self._pending: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._stop = False
        self._thread = threading.Thread(target=self._beat, name="monitor", daemon=True)
        self._thread.start()

    def show(self, progress: Mapping[str, Any]) -> None:
        """Keep the newest progress for the next exchange."""
        with self._lock:
            self._pending.update(progress)

    @property
    def stop_requested(self) -> bool:
        """Whether the driver asked to stop, as of the last exchange."""
        return self._stop

    def close(self) -> None:
        """Hand over what is left and end the thread."""
        self._closed.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        seen: Vitals | None = None
        while True:
            last = self._closed.is_set()
            seen = self._vitals().since(seen)
            if last or self._pace.is_due(time.monotonic(), seen.leaving):
                self._exchange(seen)
            if last:
                return
            self._closed.wait(self._pace.look_s)

    def _exchange(self, vitals: Vitals) -> None:
        import ray

        with self._lock:
            progress, self._pending = self._pending, {}
        try:
            answer = self._actor.exchange.remote(progress, self._rank, vitals)
            self._stop = bool(ray.get(answer, timeout=30))
            self._pace.told(time.monotonic(), vitals.leaving)
        except ray.exceptions.RayError:
            # The driver's node is gone or busy: training goes on, progress waits.
            with self._lock:
                self._pending = {**progress, **self._pending}
