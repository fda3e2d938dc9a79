"""Progress from worker 0 to the driver, and the request to stop back to it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

SECONDS_BETWEEN_BEATS = 0.3


class LocalMonitor:
    """Progress inside one process; also what the Ray actor holds."""

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
    """The driver's end as a Ray actor: one call hands over progress and brings back the wish."""

    def exchange(self, progress: Mapping[str, Any]) -> bool:
        """Take progress, tell whether to stop."""
        self.show(progress)
        return self.stop_requested


class RemoteMonitor:
    """Worker 0's end: a thread exchanges progress with the driver's actor, training never waits.

    Args:
        actor: handle of a :class:`BoardActor`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
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
        import ray

        while True:
            last = self._closed.wait(SECONDS_BETWEEN_BEATS)
            with self._lock:
                progress, self._pending = self._pending, {}
            try:
                self._stop = bool(ray.get(self._actor.exchange.remote(progress), timeout=30))
            except ray.exceptions.RayError:
                # The driver's node is gone or busy: training goes on, progress waits.
                with self._lock:
                    self._pending = {**progress, **self._pending}
            if last:
                return
