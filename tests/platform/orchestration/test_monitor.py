"""The driver's board: what workers tell, and who makes them stop."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trainwright.orchestration.monitor import MOST_VITALS_PER_S, BoardActor, Pace
from trainwright.orchestration.vitals import Memory, Vitals

HERE = Vitals("node", "box", 7, "group", "log", Memory(1, 5, 10))


def test_one_worker_that_has_to_leave_stops_all() -> None:
    board = BoardActor()
    assert not board.exchange({"step": 3}, 0, HERE)
    assert board.exchange({}, 1, replace(HERE, leaving=True))
    assert board.exchange({"step": 4}, 0, HERE)
    assert board.progress() == {"step": 4}
    assert {rank: seen.leaving for rank, seen in board.vitals().items()} == {0: False, 1: True}


def test_the_next_group_begins_anew_and_progress_stays() -> None:
    board = BoardActor()
    board.exchange({"step": 3}, 0, HERE)
    board.request_stop()
    board.begin()
    assert not board.exchange({}, 1, HERE)
    assert board.progress() == {"step": 3}
    assert list(board.vitals()) == [1]


@pytest.mark.parametrize("workers", [2, 8, 200, 1000, 4096])
def test_the_board_can_take_what_all_workers_tell(workers: int) -> None:
    """However many there are, and though all of them begin at the same moment."""
    paces = [Pace(rank, workers) for rank in range(1, workers)]
    told: list[int] = []
    for second in range(45):
        due = [pace for pace in paces if pace.is_due(second, leaving=False)]
        for pace in due:
            pace.told(second, leaving=False)
        told.append(len(due))
    assert told[0] == workers - 1
    assert max(told[1:]) <= max(1.1 * MOST_VITALS_PER_S, workers - 1 if workers <= 200 else 0)
    # Nobody is silent for ever, either.
    assert sum(told[1:]) >= 2 * (workers - 1)


def test_one_that_has_to_leave_does_not_wait_for_its_moment() -> None:
    pace = Pace(4095, 4096)
    pace.told(0.0, leaving=False)
    assert not pace.is_due(1.0, leaving=False)
    assert pace.is_due(1.0, leaving=True)
    assert pace.is_due(2.0, leaving=True)  # it has not reached the driver
    pace.told(2.0, leaving=True)
    assert not pace.is_due(3.0, leaving=True)


def test_worker_0_tells_whenever_it_looks() -> None:
    pace = Pace(0, 4096)
    for beat in range(10):
        now = beat * pace.look_s
        assert pace.is_due(now, leaving=False)
        pace.told(now, leaving=False)
