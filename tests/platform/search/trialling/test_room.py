"""How many trials fit side by side, in numbers and in words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from trainwright.job.cluster_spec import ClusterSpec
from trainwright.search.spec import AshaSpec, PbtSpec, TrialPool
from trainwright.search.trialling.driving import IDLE_CPUS, room_for


def plan(
    pool: TrialPool, *clusters: ClusterSpec, trials: int | None = 40, scheduler: Any = None
) -> Any:
    clusters = clusters or (ClusterSpec(workers=0),)
    spec = SimpleNamespace(cluster=pool, scheduler=scheduler)
    return SimpleNamespace(
        job=SimpleNamespace(spec=spec),
        clusters=clusters,
        is_here=clusters[0].max_workers == 0,
        total_trials=trials,
    )


@pytest.mark.parametrize(
    ("pool", "has", "number", "told"),
    [
        ({}, {"CPU": 4.0}, 4, "4 trials side by side, 1 CPU each, of 4 CPU"),
        (
            {"cpus_per_worker": 0.1},
            {"CPU": 0.3},
            3,
            "3 trials side by side, 0.1 CPU each, of 0.3 CPU",
        ),
        ({"workers": 2}, {"CPU": 4.0}, 2, "2 trials side by side, 1 CPU each, of 4 CPU"),
        (
            {"gpus_per_worker": 0.5},
            {"CPU": 8.0, "GPU": 1.0},
            2,
            "2 trials side by side, 1 CPU and 0.5 GPU each, of 8 CPU and 1 GPU",
        ),
        ({}, {"CPU": 1.0}, 1, "one trial at a time, 1 CPU each, of 1 CPU"),
    ],
)
def test_trials_in_processes_of_the_sweep(
    pool: dict[str, Any], has: dict[str, float], number: int, told: str
) -> None:
    room = room_for(plan(TrialPool(**pool)), has)
    assert (room.side_by_side, room.told) == (number, told)
    assert room.cpus == pool.get("cpus_per_worker", 1.0)
    assert room.gpus == pool.get("gpus_per_worker", 0.0)


def test_trials_with_workers_of_their_own() -> None:
    """The processes that watch over them need next to nothing."""
    own = ClusterSpec(workers=2, cpus_per_worker=1.5, gpus_per_worker=1)
    room = room_for(plan(TrialPool(), own), {"CPU": 32.0, "GPU": 5.0})
    assert (room.side_by_side, room.cpus, room.gpus) == (2, IDLE_CPUS, 0.0)
    words = "2 trials side by side, 2 workers x 1.5 CPU and 1 GPU each, of 32 CPU and 5 GPU"
    assert room.told == words


def test_of_trials_that_differ_the_smallest_counts() -> None:
    """Larger ones wait for room themselves."""
    small, large = ClusterSpec(workers=[1, 4]), ClusterSpec(workers=8)
    room = room_for(plan(TrialPool(), large, small), {"CPU": 9.0})
    assert (room.side_by_side, room.told) == (
        9,
        "9 trials side by side, 1 worker x 1 CPU each, of 9 CPU",
    )


def test_no_more_than_there_are_trials() -> None:
    assert room_for(plan(TrialPool(), trials=3), {"CPU": 8.0}).side_by_side == 3
    assert room_for(plan(TrialPool(), trials=None), {"CPU": 8.0}).side_by_side == 8


def test_members_of_a_population_share_all_there_is() -> None:
    """Tune would let as many run as have room."""
    pool = TrialPool(workers=2)
    assert room_for(plan(pool, scheduler=PbtSpec()), {"CPU": 8.0}).cpus == 4.0
    assert room_for(plan(pool, scheduler=AshaSpec()), {"CPU": 8.0}).cpus == 1.0
