"""Trials as pictures see them, and the scales that they stand on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.search.goals import non_dominated
from trainwright.search.plots import Metric, TrialRow
from trainwright.search.plots.rows import best_of
from trainwright.search.plots.scales import Scale, wrapped
from trainwright.search.space import Space


def scale(**written: Any) -> Scale:
    (parameter,) = Space.parse({"a": written}).parameters
    return Scale.of_parameter(parameter, [1.0, 4.0])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))))
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, ...]]) -> None:
    kept = [p for p, keeps in zip(points, non_dominated(points), strict=True) if keeps]
    for point in points:
        beaten = [
            o for o in points if o != point and all(a <= b for a, b in zip(o, point, strict=True))
        ]
        assert (point in kept) is (not beaten)
    # Whatever is not on the front is beaten by something on it.
    assert bool(kept) is bool(points)


def test_the_best_trial_is_a_finished_one() -> None:
    values = [(0.9, "stopped"), (0.5, "finished"), (float("inf"), "finished"), (0.5, "finished")]
    rows = [
        TrialRow(number, "", {}, state, {"m": value})  # type: ignore[arg-type]
        for number, (value, state) in enumerate(values)
    ]
    best = best_of(rows, Metric("m", "max"))
    assert best is not None
    assert (best.row.number, best.value) == (1, 0.5)
    assert best_of(rows[:1], Metric("m", "max")) is None


@pytest.mark.parametrize(
    ("written", "ticks"),
    [
        ({"loguniform": [1e-4, 1]}, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ({"loguniform": [1e-12, 1]}, ["1e-12", "1e-09", "1e-06", "0.001", "1"]),
        ({"logint": [16, 128]}, ["20", "50", "100"]),
        ({"loguniform": [3, 3.5]}, ["3", "3.5"]),
        ({"uniform": [0, 1]}, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ({"int": [1, 4]}, ["1", "2", "3", "4"]),
        ({"normal": [0, 1]}, ["1", "2", "3", "4"]),
        ({"choice": ["a", None, "a_name_that_is_too_long"]}, ["a", "none", "a_name_that_is_to…"]),
    ],
    ids=str,
)
def test_ticks(written: dict[str, Any], ticks: list[str]) -> None:
    one = scale(**written)
    assert [text for _, text in one.ticks()] == ticks
    places = [place for place, _ in one.ticks()]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


@given(st.integers(0, 10**6), st.sampled_from(["a", "b", "c"]))
def test_trials_of_one_option_stay_apart_from_those_of_others(number: int, label: str) -> None:
    one = scale(choice=["a", "b", "c"])
    assert abs(one.spread(label, number) - one.place(label)) <= 0.25 / 3 + 1e-12
    assert scale(uniform=[0, 4]).spread(1.0, number) == 0.25


def test_equal_numbers_stand_in_the_middle() -> None:
    for value in (0.0, 3.0, -2.0):
        assert Scale.of_numbers("m", [value, value]).place(value) == 0.5
    assert Scale.of_numbers("m", [1.0, 100.0]).log
    assert not Scale.of_numbers("m", [1.0, 99.0]).log


def test_long_names_are_wrapped_at_their_dots() -> None:
    assert wrapped("optimizer.lr") == "optimizer.lr"
    assert wrapped("objective[margin_control].margin") == "objective\n[margin_control]\n.margin"
