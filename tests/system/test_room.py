"""Waiting for room in a real cluster; nothing is started there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from trainwright.errors import Interrupted, RunError
from trainwright.job.models import ClusterSpec
from trainwright.orchestration import waiting
from trainwright.orchestration.room import wait_for_room

WORKERS = ClusterSpec(workers=2, cpus_per_worker=0.75)


@pytest.fixture
def occupied(cluster: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """One of the two CPUs is another job's."""
    from ray.util.placement_group import placement_group, remove_placement_group

    monkeypatch.setattr(waiting, "SECONDS_UNTOLD", 0.5)
    others = placement_group([{"CPU": 1}])
    assert others.wait(60)
    yield others
    remove_placement_group(others)


def test_what_is_missing_is_told_once_and_waited_for(occupied: Any) -> None:
    from ray.util.placement_group import remove_placement_group

    told: list[str] = []

    def watch(progress: Mapping[str, Any]) -> bool:
        told.extend([progress["remark"]] if "remark" in progress else [])
        calls.append(progress)
        if len(calls) == 3:
            remove_placement_group(occupied)
        return False

    calls: list[Any] = []
    wait_for_room(WORKERS, 2, watch)
    assert told == [
        "waiting for 0.5 more CPU: 2 workers need 1.5, and 1 is free",
        "the wait is over",
    ]


def test_a_stop_and_a_limit_end_it_and_nothing_stays_reserved(occupied: Any) -> None:
    with pytest.raises(Interrupted, match=r"stopped while waiting for 0\.5 more CPU"):
        wait_for_room(WORKERS, 2, lambda progress: True)
    limited = WORKERS.model_copy(update={"room_timeout_s": 1.0})
    with pytest.raises(RunError, match=r"waited 1 s .* in vain for 0.5 more CPU"):
        wait_for_room(limited, 2, lambda progress: False)
    wait_for_room(WORKERS, 1, lambda progress: False)
