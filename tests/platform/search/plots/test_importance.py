"""Importance of parameters: shares against those of functions that can be reckoned by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from trainwright.search.plots import Metric, TrialRow
from trainwright.search.plots.importance import draw_importance, shares_of
from trainwright.search.plots.rows import NothingToSeeError
from trainwright.search.space import Sampler, Space
from trainwright.tracking.canvas import Canvas

LOSS = Metric("loss", "min")
SPACE = Space.parse(
    {
        "a": {"uniform": [0, 1]},
        "b": {"loguniform": [1e-4, 1]},
        "c": {"choice": ["x", "y"]},
        "objective": {"choice": ["ce", {"name": "z", "d": {"uniform": [0, 1]}}]},
    }
)


def rows(loss: Callable[[Any], float], count: int = 80, space: Space = SPACE) -> list[TrialRow]:
    chosen = [Sampler(space, 0).draw(number) for number in range(count)]
    return [
        TrialRow(number, "", one, "finished", {"loss": loss(one)})
        for number, one in enumerate(chosen)
    ]


def test_shares_are_near_those_of_the_variances() -> None:
    # 3 a has variance 9/12, a quarter of four decades 1/12, and c, which is 0 or 1, 1/4.
    found = shares_of(
        rows(lambda p: 3 * p["a"] + math.log10(p["b"]) / 4 + (p["c"] == "x")), SPACE, LOSS
    )
    assert [share.parameter.name for share in found][:3] == ["a", "c", "b"]
    a, c, b = (share.share for share in found[:3])
    assert a == pytest.approx(9 / 13, abs=0.08)
    # Weak parameters come out weaker still, since trees of few trials rarely split by them.
    assert 0.1 < c < 3 / 13 + 0.05
    assert 0.02 < b < 1 / 13 + 0.05
    assert all(share.share < 0.03 for share in found[3:])


def test_a_conditional_parameter_is_judged_among_those_that_have_it() -> None:
    def loss(p: Any) -> float:
        return 5.0 * p["objective[z].d"] + 0.1 * p["a"] if "objective[z].d" in p else 0.0

    trials = rows(loss)
    (first, *others) = shares_of(trials, SPACE, LOSS)
    assert (first.parameter.name, first.parameter.condition) == (
        "objective[z].d",
        ("objective", "z"),
    )
    assert first.share > 0.9
    assert first.num_trials == sum("objective[z].d" in trial.assignment for trial in trials) < 60
    # That z differs from ce is the doing of the choice.
    assert others[0].parameter.name == "objective"
    assert others[0].num_trials == 80


@pytest.mark.parametrize(
    ("trials", "reason"),
    [
        (rows(lambda p: p["a"], 7), "7 trials have a value, and it takes 8"),
        (rows(lambda p: 1.0, 20), "all trials have the same value"),
    ],
    ids=["few", "same"],
)
def test_nothing_to_see(trials: list[TrialRow], reason: str) -> None:
    with pytest.raises(NothingToSeeError, match=reason):
        shares_of(trials, SPACE, LOSS)


def test_too_few_trials_for_their_parameters_are_told() -> None:
    found = shares_of(rows(lambda p: p["a"], 12), SPACE, LOSS)
    for count, notes in ((12, ["12 trials for 4 parameters: rough"]), (100, [])):
        panel = Canvas("t").panel("", "")
        draw_importance(panel, found, count)
        assert [text.get_text() for text in panel.axes.texts] == notes
