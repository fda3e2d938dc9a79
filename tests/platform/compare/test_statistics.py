"""Intervals and medians against scipy's own functions and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from trainwright.compare.statistics import Estimate, median, student_quantile


@pytest.mark.parametrize("count", [2, 3, 5, 10, 40])
def test_the_interval_is_that_of_a_t_test(count: int) -> None:
    values = np.random.default_rng(count).normal(3.0, 2.0, count)
    estimate = Estimate.of(values.tolist())
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert (estimate.lower, estimate.upper) == pytest.approx((low, high), rel=1e-10)
    assert estimate.mean == pytest.approx(values.mean(), rel=1e-12)
    assert estimate.std == pytest.approx(values.std(ddof=1), rel=1e-12)


def test_coverage() -> None:
    """Of 2000 intervals of five normal values, 95 % hold the mean, within four standard errors."""
    draws = np.random.default_rng(0).normal(1.0, 3.0, (2000, 5))
    estimates = [Estimate.of(row.tolist()) for row in draws]
    share = sum(e.lower < 1.0 < e.upper for e in estimates) / 2000
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 2000)


def test_quantiles_of_the_tables() -> None:
    assert student_quantile(1) == pytest.approx(12.706, abs=5e-4)
    assert student_quantile(9) == pytest.approx(2.262, abs=5e-4)
    assert student_quantile(4, 0.99) == pytest.approx(4.604, abs=5e-4)


def test_few_values() -> None:
    assert Estimate.of([2.5]).mean == 2.5
    assert math.isnan(Estimate.of([2.5]).lower)
    assert math.isnan(Estimate.of([]).mean)
    assert math.isnan(Estimate.of([1.0, math.nan]).lower)
    assert Estimate.of([math.inf, 1.0]).mean == math.inf
    same = Estimate.of([0.1] * 7)
    assert (same.lower, same.upper) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(
    ("values", "middle"), [([3.0], 3.0), ([4.0, 1.0], 2.5), ([5.0, 1.0, 2.0], 2.0)]
)
def test_median(values: list[float], middle: float) -> None:
    assert median(values) == middle


def test_median_of_nothing_and_of_nan() -> None:
    assert math.isnan(median([]))
    assert math.isnan(median([1.0, math.nan, 2.0]))
