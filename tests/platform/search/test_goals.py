"""Judging trials, against slow and obvious code."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.search.goals import Goal, Judge, non_dominated
from trainwright.search.trials import Milestone, Trial

HIGH = Goal("accuracy", highest=True)
LOW = Goal("loss", highest=False)
BOTH = Judge((HIGH, LOW))

few = st.integers(0, 4).map(float)
values = st.one_of(few, st.just(math.nan), st.none())
states = st.sampled_from(["finished", "finished", "stopped", "failed", "running"])


def trial(number: int, state: Any = "finished", **metrics: float | None) -> Trial:
    known = {name: value for name, value in metrics.items() if value is not None}
    return Trial(number, {}, state, metrics=known)


@given(st.lists(st.tuples(states, values, values), max_size=12))
def test_the_front_is_what_nobody_beats(rows: list[tuple[Any, float | None, float | None]]) -> None:
    trials = [trial(n, s, accuracy=a, loss=b) for n, (s, a, b) in enumerate(rows)]
    known = [
        (n, a, b)
        for n, (state, a, b) in enumerate(rows)
        if state == "finished" and a is not None and b is not None and not math.isnan(a + b)
    ]
    wanted = set()
    for number, a, b in known:
        beaten = False
        for _, other_a, other_b in known:
            if (other_a > a and other_b <= b) or (other_a >= a and other_b < b):
                beaten = True
        if not beaten:
            wanted.add(number)
    front = BOTH.front(trials)
    assert {t.number for t in front} == wanted
    assert [t.metrics["accuracy"] for t in front] == sorted(
        (t.metrics["accuracy"] for t in front), reverse=True
    )


@given(st.lists(st.tuples(few, few, few), max_size=15))
def test_of_three_coordinates(points: list[tuple[float, float, float]]) -> None:
    for point, kept in zip(points, non_dominated(points), strict=True):
        below = [p for p in points if p != point and max(map(float.__sub__, p, point)) <= 0]
        assert kept == (not below)


@given(st.lists(st.tuples(states, values), max_size=12), st.booleans())
def test_finished_trials_come_first_and_equal_ones_by_number(
    rows: list[tuple[Any, float | None]], highest: bool
) -> None:
    judge = Judge((Goal("accuracy", highest=highest),))
    ranked = judge.ranked([trial(n, s, accuracy=a) for n, (s, a) in enumerate(rows)])
    usable = [
        (state, value, number)
        for number, (state, value) in enumerate(rows)
        if state in ("finished", "stopped") and value is not None and not math.isnan(value)
    ]
    wanted: list[int] = []
    for state in ("finished", "stopped"):
        of_state = [(value, number) for s, value, number in usable if s == state]
        for value in sorted({value for value, _ in of_state}, reverse=highest):
            wanted += [number for other, number in of_state if other == value]
    assert [t.number for t in ranked] == wanted


@pytest.mark.parametrize(
    ("at", "highest", "wanted"),
    [("last", True, 0.5), ("last", False, 0.5), ("best", True, 0.9), ("best", False, 0.2)],
)
def test_which_value_of_a_trial_counts(at: Any, highest: bool, wanted: float) -> None:
    found = trial(0, accuracy=0.5)
    found.curve = [
        Milestone(step, float(step), {"accuracy": value})
        for step, value in enumerate([0.2, 0.9, math.nan, 0.4])
    ]
    found.curve.append(Milestone(9, 9.0, {"loss": 77.0}))
    assert Goal("accuracy", highest, at).of(found) == wanted


def test_what_is_not_finite_or_missing_is_no_value() -> None:
    for value in (math.nan, math.inf, -math.inf, None):
        assert HIGH.of(trial(0, accuracy=value)) is None
    assert BOTH.values(trial(0, accuracy=1.0)) is None
    diverged = trial(0, accuracy=math.nan)
    diverged.curve = [Milestone(1, 1.0, {"accuracy": 0.3})]
    assert Goal("accuracy", highest=True, at="best").of(diverged) == 0.3


def test_quantities_that_every_trial_has() -> None:
    found = Trial(0, {}, "finished", step=20, seconds=4.0, weights=1000)
    values = {name: Goal(name, highest=False).of(found) for name in ("parameters", "seconds")}
    assert values == {"parameters": 1000.0, "seconds": 4.0}
    assert Goal("seconds_per_step", highest=False).of(found) == 0.2
    assert Goal("steps", highest=False).of(Trial(0, {}, "failed")) is None
