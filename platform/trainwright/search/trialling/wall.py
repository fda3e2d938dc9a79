"""Where running trials post how far they are, for whoever watches the sweep."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from trainwright.search.trialling.course import Course

SECONDS_BETWEEN_POSTS = 0.4


class Wall:
    """An actor beside the driver: newest progress by trial, and the request to stop."""

    def __init__(self) -> None:
        self._posted: dict[int, dict[str, Any]] = {}
        self._stop = False

    def post(self, number: int, progress: Mapping[str, Any]) -> bool:
        """Take a trial's progress; whether it shall stop."""
        self._posted[number] = dict(progress)
        return self._stop

    def posted(self, stop: bool) -> dict[int, dict[str, Any]]:
        """The newest progress of each trial that has posted since the last call.

        Args:
            stop: whether trials shall stop at their next post.
        """
        self._stop = stop
        found, self._posted = self._posted, {}
        return found


@contextlib.contextmanager
def wall_here() -> Iterator[Any]:
    """A wall on this process's node; with it end the trials that post there."""
    import ray

    here = {f"node:{ray.util.get_node_ip_address()}": 0.001}
    wall = ray.remote(num_cpus=0, max_restarts=-1)(Wall).options(resources=here).remote()
    try:
        yield wall
    finally:
        ray.kill(wall)


class Poster:
    """Posts a trial's progress now and then, from a thread, until it is closed.

    It stops the trial when the driver asks for it, and gives it up when there is no driver.

    Args:
        wall: handle of a :class:`Wall`.
        number: of the trial.
        course: of the trial.
    """

    def __init__(self, wall: Any, number: int, course: Course) -> None:
        self._wall, self._number, self._course = wall, number, course
        self._over = threading.Event()
        threading.Thread(target=self._beat, name="poster", daemon=True).start()

    def close(self) -> None:
        """Post no more."""
        self._over.set()

    def _beat(self) -> None:
        import ray

        while not self._over.wait(SECONDS_BETWEEN_POSTS):
            # The driver's node may be busy: training does not depend on it.
            with contextlib.suppress(ray.exceptions.RayError):
                try:
                    progress = self._course.monitor.progress()
                    answer = self._wall.post.remote(self._number, progress)
                    if ray.get(answer, timeout=30):
                        self._course.stop()
                        return
                except ray.exceptions.ActorDiedError:
                    self._course.abandon()
                    return
