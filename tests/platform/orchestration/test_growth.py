"""When a group of workers is to go on as a larger one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from trainwright.job.models import ClusterSpec
from trainwright.orchestration.growth import MOST_WISHES, Growth, in_wishes

PROGRESS = {"step": 100, "total_steps": 1000, "seconds_per_step": 1.0}


class Cluster:
    """A clock, and wishes that are granted by the test."""

    def __init__(self, workers: int = 2, most: int = 4, **spec: Any) -> None:
        self.now, self.granted, self.asked = 0.0, 0, list[int]()
        self.withdrawn = False
        values = {"workers": [1, most], "resize_after_s": 30.0, **spec}
        self.growth = Growth(ClusterSpec(**values), workers, self._wish, lambda: self.now)

    def _wish(self, cluster: ClusterSpec, sizes: Sequence[int]) -> Any:
        self.asked += sizes
        return self

    def withdraw(self) -> None:
        self.withdrawn = True

    def more(self, after_s: float, granted: int, begun: int = 2, **progress: Any) -> int:
        """What is said ``after_s`` later, with so many places there."""
        self.now, self.granted = self.now + after_s, granted
        return self.growth.more({**PROGRESS, **progress}, begun)


def test_room_must_last() -> None:
    cluster = Cluster()
    assert cluster.more(0, 0) == 0
    assert cluster.asked == [1, 1]
    assert [cluster.more(100, 1), cluster.more(29, 1), cluster.more(1, 1)] == [0, 0, 1]
    cluster.growth.end()
    assert cluster.withdrawn


def test_who_comes_later_is_waited_for() -> None:
    """Machines of a new group start one after the other, and each restart costs some seconds."""
    cluster = Cluster()
    assert [cluster.more(5, 1), cluster.more(25, 2), cluster.more(29, 2)] == [0, 0, 0]
    assert cluster.more(1, 2) == 2


def test_room_that_goes_again_is_not_taken() -> None:
    cluster = Cluster()
    assert [cluster.more(5, 2), cluster.more(29, 0), cluster.more(60, 0)] == [0, 0, 0]


def test_nothing_is_wished_for_before_all_workers_run() -> None:
    """It would take the places from those that are starting."""
    cluster = Cluster()
    assert cluster.more(0, 2, begun=1) == 0
    assert cluster.asked == []


def test_a_run_that_is_about_to_end_stays_as_it_is() -> None:
    cluster = Cluster()
    cluster.more(0, 2)
    assert cluster.more(31, 2, step=971) == 0
    assert cluster.more(0, 2, step=970) == 2


def test_nothing_is_known_of_the_time_left_at_first() -> None:
    cluster = Cluster()
    cluster.more(0, 2)
    assert cluster.growth.more({}, 2) == 0
    cluster.now = 31
    assert cluster.growth.more({}, 2) == 0


def test_nobody_asks_for_more_than_there_may_be() -> None:
    for cluster in (Cluster(workers=4), Cluster(resize_after_s=None)):
        assert cluster.more(100, 2, begun=4) == 0
        assert cluster.asked == []


@pytest.mark.parametrize("missing", [1, 2, 63, 64, 65, 1000, 4088])
def test_wishes_are_few_and_alike(missing: int) -> None:
    sizes = in_wishes(missing)
    assert sum(sizes) == missing
    assert len(sizes) == min(missing, MOST_WISHES)
    assert max(sizes) - min(sizes) <= 1


def test_many_missing_workers_are_wished_for_by_several() -> None:
    cluster = Cluster(8, most=4096)
    cluster.more(0, 0, begun=8)
    assert len(cluster.asked) == MOST_WISHES
    assert sum(cluster.asked) == 4088
