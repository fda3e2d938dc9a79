"""Ratios of paired times against arithmetic and simulated machines."""

from __future__ import annotations

import numpy as np
import pytest
from common.pairs import Side, interleave, ratio_of


def test_equal_ratios_leave_no_interval() -> None:
    ratio = ratio_of([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert (ratio.median, ratio.low, ratio.high, ratio.pairs) == (2.0, 2.0, 2.0, 3)


def test_the_median_of_the_ratios_is_no_ratio_of_medians() -> None:
    assert ratio_of([1.0, 10.0, 3.0], [1.0, 5.0, 2.0]).median == 1.5  # of 1, 2 and 1.5


def test_the_interval_covers_the_truth_in_about_95_of_100_cases() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        ours = 1.05 * random.lognormal(0, 0.1, 20)
        ratio = ratio_of(list(ours), list(random.lognormal(0, 0.1, 20)))
        hits += ratio.low <= 1.05 <= ratio.high
    assert 180 <= hits < 200


def test_the_interval_tells_what_differs_between_processes() -> None:
    """One ratio is right for each of six groups; pairs of a group say nothing about that."""
    random = np.random.default_rng(2)
    hits = apart = 0
    for _ in range(60):
        ours = np.repeat(random.normal(1.05, 0.03, 6), 8) * random.lognormal(0, 0.02, 48)
        together, grouped = (ratio_of(list(ours), [1.0] * 48, groups) for groups in (1, 6))
        assert grouped.median == pytest.approx(together.median, abs=0.04)
        hits += grouped.low <= 1.05 <= grouped.high
        apart += together.low <= 1.05 <= together.high
    assert hits >= 50
    assert apart < hits


def test_several_groups_have_the_mean_of_their_medians() -> None:
    ratio = ratio_of([1.0, 1.0, 9.0, 2.0, 3.0, 3.0], [1.0] * 6, groups=2)
    assert (ratio.median, ratio.pairs, ratio.groups) == (2.0, 6, 2)
    with pytest.raises(ValueError, match="groups of one size, got 5 pairs in 2 groups"):
        ratio_of([1.0] * 5, [1.0] * 5, groups=2)


@pytest.mark.parametrize(("ours", "bare"), [([], []), ([1.0], []), ([1.0], [1.0, 2.0])])
def test_times_without_partner_are_refused(ours: list[float], bare: list[float]) -> None:
    with pytest.raises(ValueError, match="needs pairs"):
        ratio_of(ours, bare)


def test_each_side_is_first_in_every_other_pair() -> None:
    calls: list[str] = []
    interleave(lambda: calls.append("o"), lambda: calls.append("b"), 3)
    assert "".join(calls) == "obboob"


def test_a_machine_that_slows_down_steadily_does_not_favour_a_side() -> None:
    """Its slowness grows by 10 % with every piece; one order alone would show it as a ratio."""
    now = [1.0]

    def piece() -> float:
        now[0] *= 1.1
        return now[0]

    assert ratio_of(*interleave(piece, piece, 20)).median == pytest.approx(1.0, abs=0.01)
    now[0] = 1.0
    one_order = [(piece(), piece()) for _ in range(20)]
    assert ratio_of(*zip(*one_order, strict=True)).median == pytest.approx(1 / 1.1)


def test_seconds_of_one_unit() -> None:
    side = Side.of([4.0, 8.0, 12.0, 16.0, 20.0], units=4)
    assert (side.low, side.median, side.high) == (2.0, 3.0, 4.0)
