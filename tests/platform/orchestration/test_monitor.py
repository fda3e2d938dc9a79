"""The driver's board: what workers tell, and who makes them stop."""

from __future__ import annotations

from dataclasses import replace

from trainwright.orchestration.monitor import BoardActor
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
