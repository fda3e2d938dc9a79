"""How far a run is, and when it will be done, from records that are looked at now and then."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.runs import RunRecord, Status
from trainwright.submission.inside.pace import Pace


def record(steps: int, alive: float, status: Status = "running", total: int = 100) -> RunRecord:
    return RunRecord("digits-0", status, steps=steps, total_steps=total, alive=alive)


def left(pace: Pace, *looks: tuple[int, float]) -> float | None:
    """Of the last look."""
    return [pace.progress(record(*look)).seconds_left for look in looks][-1]


@given(
    pace_s=st.floats(0.01, 100),
    start=st.integers(0, 50),
    steps=st.lists(st.integers(1, 10), min_size=1, max_size=5),
    setup_s=st.floats(0, 1000),
)
def test_what_is_left_is_the_pace_of_this_attempt(
    pace_s: float, start: int, steps: list[int], setup_s: float
) -> None:
    """Whatever came before the first step that was seen: an attempt, Ray's start, the data."""
    pace = Pace()
    assert left(pace, (start, 5.0)) is None
    moment, step = 5.0 + setup_s, start + 1
    assert left(pace, (step, moment)) is None
    for more in steps:
        step, moment = step + more, moment + more * pace_s
        found = left(pace, (step, moment))
        if step - start - 1 >= 3:
            assert found == pytest.approx((100 - step) * pace_s, rel=1e-4)
        else:
            assert found is None


def test_steps_that_are_done_again_begin_the_measurement_anew() -> None:
    pace = Pace()
    assert left(pace, (0, 0.0), (10, 100.0), (20, 110.0)) == pytest.approx(80)
    assert left(pace, (12, 500.0)) is None  # a lost worker: back to the last checkpoint
    assert left(pace, (16, 508.0)) == pytest.approx(84 * 2)


def test_a_look_at_the_same_record_changes_nothing() -> None:
    pace = Pace()
    looks = [(0, 0.0), (10, 100.0), (20, 110.0)]
    assert left(pace, *looks, looks[-1], looks[-1]) == pytest.approx(80)


@pytest.mark.parametrize("status", ["finished", "failed", "interrupted"])
def test_of_a_run_that_has_ended_nothing_is_left(status: Status) -> None:
    pace = Pace()
    left(pace, (0, 0.0), (10, 100.0), (20, 110.0))
    found = pace.progress(record(60, 150.0, status))
    assert (found.step, found.total, found.seconds_left) == (60, 100, None)


def test_the_unit_is_that_of_the_record() -> None:
    found = Pace().progress(RunRecord("f-0", steps=3, total_steps=9, unit="rounds"))
    assert found.line == "round 3 of 9 (33%)"
