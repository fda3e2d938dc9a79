"""How many workers of a range there is room for, at the start of a group and while it trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from trainwright.job.models import ClusterSpec
from trainwright.orchestration.room import resources_of, wait_for_room
from trainwright.orchestration.waiting import Watch

SECONDS_TO_SETTLE = 2.0
"""Resources of a group that has just ended are free again within a second or so."""

SECONDS_BETWEEN_LOOKS = 0.2

MOST_WISHES = 64
"""Each takes most of a millisecond whenever the driver looks (``jobs/benchmarks``, scaling); where
more workers are missing, one wish is for several."""


def in_wishes(workers: int) -> list[int]:
    """Sizes of the wishes for so many workers, as equal as they can be."""
    wishes = min(workers, MOST_WISHES)
    return [(i + 1) * workers // wishes - i * workers // wishes for i in range(wishes)]


class Wishes:
    """Places for workers, made known to Ray, so that a cluster that can grow does.

    A place that was granted is kept from others until the wishes are withdrawn.

    Args:
        cluster: says what a worker takes.
        sizes: workers of each wish; they get their places together or not at all.
    """

    def __init__(self, cluster: ClusterSpec, sizes: Sequence[int]) -> None:
        from ray.util.placement_group import placement_group

        share = resources_of(cluster)
        self._wishes = [(placement_group([share] * size, strategy="PACK"), size) for size in sizes]

    @property
    def granted(self) -> int:
        """Workers for which there is a place."""
        from ray.util.placement_group import placement_group_table

        states = [(placement_group_table(wish).get("state"), size) for wish, size in self._wishes]
        return sum(size for state, size in states if state == "CREATED")

    def withdraw(self) -> None:
        """Let others have the places."""
        from ray.util.placement_group import remove_placement_group

        for wish, _ in self._wishes:
            remove_placement_group(wish)


def room_for(cluster: ClusterSpec, watch: Watch) -> int:
    """Wait until there is room for a group of workers, and say how large it may be.

    Args:
        cluster: says how many there are to be, and how long to wait.
        watch: told what is waited for.

    Returns:
        As many as the job asks for; of a range, as many as there is room for.

    Raises:
        RunError: there was no room for the fewest in time.
        Interrupted: it was asked to stop meanwhile.
    """
    least, most = cluster.min_workers, cluster.max_workers
    wait_for_room(cluster, least, watch)
    if least == most:
        return least
    # The fewest come together, lest two runs wait for each other with half of their places each.
    with _wishes(cluster, [least, *in_wishes(most - least)]) as wishes:
        return max(_settled(wishes, most), least)


@contextmanager
def _wishes(cluster: ClusterSpec, sizes: Sequence[int]) -> Iterator[Wishes]:
    wishes = Wishes(cluster, sizes)
    try:
        yield wishes
    finally:
        wishes.withdraw()


def _settled(wishes: Wishes, most: int) -> int:
    """How many places there are once none has come for a while."""
    found, since = 0, time.monotonic()
    while found < most and time.monotonic() - since < SECONDS_TO_SETTLE:
        time.sleep(SECONDS_BETWEEN_LOOKS)
        if (now := wishes.granted) != found:
            found, since = now, time.monotonic()
    return found


class Growth:
    """Says when a group of workers should go on as a larger one.

    The wish for the places that it lacks stands from when all of it is there to its end.

    Args:
        cluster: says how many workers there may be, and how long room for more must last.
        workers: how many there are.
        wish: makes a wish.
        clock: seconds.
    """

    def __init__(
        self,
        cluster: ClusterSpec,
        workers: int,
        wish: Callable[[ClusterSpec, Sequence[int]], Wishes] = Wishes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._wish = wish
        self._clock = clock
        self._wishes: Wishes | None = None
        self._found, self._since = 0, clock()

    def more(self, progress: Mapping[str, Any], begun: int) -> int:
        """How many more workers training should go on with now; 0 for none.

        Args:
            progress: of the group, which tells how much is left to do.
            begun: workers of it that run.
        """
        missing = self._cluster.max_workers - self._workers
        patience_s = self._cluster.resize_after_s
        if missing == 0 or begun < self._workers or patience_s is None:
            return 0
        if self._wishes is None:
            self._wishes = self._wish(self._cluster, in_wishes(missing))
        now, found = self._clock(), self._wishes.granted
        if found != self._found:
            self._found, self._since = found, now
        lasted = now - self._since >= patience_s
        return found if lasted and _seconds_left(progress) >= patience_s else 0

    def end(self) -> None:
        """Let others have the places."""
        if self._wishes is not None:
            self._wishes.withdraw()


def _seconds_left(progress: Mapping[str, Any]) -> float:
    """How long training takes as it is; 0 where that is not known."""
    pace = float(progress.get("seconds_per_step", 0.0))
    left = int(progress.get("total_steps", 0)) - int(progress.get("step", 0))
    return pace * left
