"""The distance from the start and its laws of time: closed forms, and weights of every stage."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.weight_distance import (
    WeightDistance,
    distance,
    is_measured,
    line_fit,
)


def test_a_line_is_fitted_as_numpy_fits_it() -> None:
    rng = np.random.default_rng(0)
    x = np.log(np.arange(1.0, 30.0))
    y = 0.7 * x + 0.2 + 0.1 * rng.normal(size=len(x))
    fit = line_fit(x.tolist(), y.tolist())
    slope, intercept = np.polyfit(x, y, 1)
    residual = y - slope * x - intercept
    assert fit.slope == pytest.approx(slope)
    assert fit.r2 == pytest.approx(1 - residual @ residual / ((y - y.mean()) ** 2).sum())


def test_a_line_through_its_points_explains_all() -> None:
    assert line_fit([1.0, 2.0, 4.0], [3.0, 5.0, 9.0]) == pytest.approx((2.0, 1.0))
    assert line_fit([1.0, 2.0], [3.0, 3.0]) == (0.0, 1.0)


def test_points_are_evenly_spaced_in_log_t() -> None:
    """Every update at first, then 20 in each decade."""
    chosen = [t for t in range(1, 10_001) if is_measured(t, 20)]
    assert chosen[:10] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    for low in (100, 1000):
        assert len([t for t in chosen if low < t <= 10 * low]) == 20
    ratios = [b / a for a, b in pairwise(chosen) if a >= 1000]
    assert all(abs(ratio - 10**0.05) < 2e-3 for ratio in ratios)
    assert chosen == sorted({round(10 ** (k / 20)) for k in range(81)})


def test_distance_adds_up_all_weights() -> None:
    first = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2, 2)}
    second = {"a": torch.tensor([1.0, 5.0]), "b": torch.full((2, 2), 2.0)}
    assert distance(first, second) == pytest.approx(5.0)


class _Walk:
    """Weights that are where the test puts them."""

    index = 0

    def __init__(self, at: float) -> None:
        self.at = at

    def master(self) -> dict[str, torch.Tensor]:
        return {"w": torch.tensor([self.at])}


@pytest.mark.parametrize(
    ("law", "name"), [(lambda t: 0.3 * math.log(t), "log"), (lambda t: 0.3 * math.sqrt(t), "sqrt")]
)
def test_the_law_is_recognised(law: Any, name: str) -> None:
    probe, context = WeightDistance(), Context(seed=0)
    probe.begin(context)
    walk = _Walk(0.0)
    probe.step(walk, lambda: None)
    for index in range(1000):
        walk.index, walk.at = index, law(index + 1)
        probe.updated(walk)
        logged = context.take_logged()
        if logged:
            last = logged
    assert last["strategy/weight_distance"] == pytest.approx(law(1000))
    fits = {key: last[f"weight_distance/{key}_r2"] for key in ("log", "sqrt")}
    assert fits[name] == pytest.approx(1.0, abs=1e-6)
    assert min(fits.values()) < 0.95
    if name == "log":
        assert last["weight_distance/log_slope"] == pytest.approx(0.3, rel=1e-5)


@pytest.mark.parametrize("value", [0, 1.5, True])
def test_ill_options(value: Any) -> None:
    with pytest.raises(ValueError, match="points_per_decade must be a whole number of at least 1"):
        WeightDistance(value)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_stage_measures_the_float32_weights(
    precision: str, two_workers: Any, tmp_path: Any
) -> None:
    """Against the checkpoints: the weights after update 4 and at the end, and at the start."""
    case = Case("strategies", "weight_distance")
    job = case.job_with({})
    job["training"] = {**job["training"], "checkpoint_every": "1 steps", "precision": precision}
    with Rig(tmp_path, {2: two_workers}) as rig:
        for stage in (0, 1, 2, 3):
            trace = rig.train(job, Setup("deepspeed", stage, 2))
            start = trace.strategies["weight_distance"]["start"]
            assert start.keys() == trace.weights().keys()
            expected = math.sqrt(
                sum(
                    float((weight.double() - start[name].double()).square().sum())
                    for name, weight in trace.weights().items()
                )
            )
            measured = trace.curve("strategy/weight_distance")
            assert len(measured) == trace.steps == 9
            assert measured[-1] == pytest.approx(expected, rel=1e-6)
            assert measured == sorted(measured)
