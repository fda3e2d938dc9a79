"""What is made of the moments of updates and faults, and when the whole does not hold."""

from __future__ import annotations

from chaos.faults import ALL
from chaos.game import chosen
from chaos.report import Happened, Result, lost_and_still, table, windows

STEPS = [(1.0, 1), (2.0, 2), (3.0, 3), (9.0, 2), (10.0, 3), (11.0, 4), (12.0, 5), (19.0, 5)]


def test_updates_trained_again_and_the_time_without_any() -> None:
    assert lost_and_still(STEPS, 3.5, 12.5) == (2, 5.5)
    assert lost_and_still(STEPS, 12.5, 20.0) == (1, 6.5)
    assert lost_and_still(STEPS, 10.5, 12.5) == (0, 1.0)
    assert lost_and_still(STEPS, 0.0, 12.5) == (2, 6.0)
    assert lost_and_still([], 3.0, 5.0) == (0, 2.0)


def test_each_update_belongs_to_one_fault() -> None:
    found = windows([10, 25, 40], 60)
    assert found == [range(1, 26), range(26, 41), range(41, 61)]
    assert windows([], 60) == []


def test_what_should_not_have_come_of_a_fault() -> None:
    fault = Happened("worker SIGKILL", 1.0, 30, lost=20, allowed_lost=40)
    assert fault.complaints == []
    for spoilt in (
        Happened("x", 1.0, 30, lost=41, allowed_lost=40),
        Happened("x", 1.0, 30, again=1),
        Happened("x", 1.0, 30, repeated=1),
        Happened("x", 1.0, 30, missed=1),
        Happened("x", 1.0, 30, gaps=1),
        Happened("x", 1.0, 30, server_gaps=1),
    ):
        assert len(spoilt.complaints) == 1
        assert Result([fault, spoilt]).all_complaints[0].startswith("fault 2 (x): ")
    assert Happened("x", 1.0, 30, again=1, allowed_again=True).complaints == []
    assert Result([fault]).all_complaints == []
    assert Result([fault], ["status failed"]).all_complaints == ["status failed"]


def test_the_table() -> None:
    lines = table([Happened("worker SIGKILL", 61.4, 30, lost=7, still_s=4.26)]).splitlines()
    assert len({len(line) for line in lines}) == 1
    cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
    assert cells == ["1", "worker SIGKILL", "61", "30", "7", "0", "0", "0", "0", "4.3", "went on"]


def test_every_kind_comes_before_any_comes_again() -> None:
    count = 2 * len(ALL) + 3
    faults = chosen(ALL, count, seed=4)
    assert len(faults) == count
    assert set(faults[: len(ALL)]) == set(faults[len(ALL) : 2 * len(ALL)]) == set(ALL)
    assert chosen(ALL, count, seed=4) == faults
    assert chosen(ALL, count, seed=5) != faults
    assert len({fault.name for fault in ALL}) == len(ALL)
