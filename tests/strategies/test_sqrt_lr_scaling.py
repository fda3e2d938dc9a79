"""Square root scaling of the learning rate: the paper's numbers, the plan, whole jobs."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from stories import Story, the_run

import trainwright
from trainwright.strategy import Plan
from trainwright_strategies.sqrt_lr_scaling import SqrtLrScaling, sqrt_lr_factor


def plan(batch_size: int = 2048, **changes: Any) -> Plan:
    values = {"epochs": 200, "steps": None, "max_grad_norm": None, "schedule": {}}
    values["optimizer"] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    return Plan(batch_size=batch_size, **{**values, **changes})


@pytest.mark.parametrize(
    ("batch", "base", "factor"), [(4096, 128, 5.656854), (2048, 128, 4.0), (32, 128, 0.5)]
)
def test_factor(batch: int, base: int, factor: float) -> None:
    assert sqrt_lr_factor(batch, base) == pytest.approx(factor, abs=5e-7)
    assert sqrt_lr_factor(base, base) == 1.0
    assert sqrt_lr_factor(batch, base, exponent=1.0) == batch / base


def test_the_increments_keep_their_covariance() -> None:
    """Steps of lr times the mean of B gradients, B samples drawn anew for each step."""
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(512, 3, generator=generator, dtype=torch.float64)

    def covariance(batch: int, lr: float) -> torch.Tensor:
        rows = torch.randint(len(gradients), (10_000, batch), generator=generator)
        return torch.cov(lr * gradients[rows].mean(dim=1).T)

    small = covariance(4, 0.1)
    scaled = covariance(64, 0.1 * sqrt_lr_factor(64, 4))
    torch.testing.assert_close(scaled.diag(), small.diag(), rtol=0.08, atol=0)
    linear = covariance(64, 0.1 * sqrt_lr_factor(64, 4, exponent=1.0))
    assert (linear.diag() / small.diag() > 10).all()


def test_only_rate_and_clipping_change() -> None:
    before = plan()
    after = SqrtLrScaling().plan(before)
    assert after.optimizer == {**before.optimizer, "lr": pytest.approx(0.4)}
    assert after.max_grad_norm == 5.0
    assert (after.epochs, after.steps, after.batch_size) == (200, None, 2048)
    assert after.schedule == {}


@pytest.mark.parametrize(
    ("own", "option", "limit"), [(1.0, 5.0, 1.0), (9.0, 5.0, 9.0), (None, 2.0, 2.0), (1, None, 1)]
)
def test_clipping_of_the_job_goes_first(own: Any, option: Any, limit: float) -> None:
    strategy = SqrtLrScaling(clip_norm=option)
    assert strategy.plan(plan(max_grad_norm=own)).max_grad_norm == limit


def test_rates_of_groups_are_scaled_too() -> None:
    strategy = SqrtLrScaling(base_batch_size=128)
    strategy.plan(plan(batch_size=512))
    groups = strategy.parameters([{"params": [], "lr": 0.01, "weight_decay": 0.0}, {"params": []}])
    assert groups == [{"params": [], "lr": 0.02, "weight_decay": 0.0}, {"params": []}]


def test_neutral_setting_leaves_the_plan() -> None:
    strategy = SqrtLrScaling(**SqrtLrScaling.declares.neutral)
    assert strategy.plan(plan()) == plan()
    assert SqrtLrScaling(2048, clip_norm=None).plan(plan()) == plan()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_batch_size": 0}, "base_batch_size must be a whole number of at least 1"),
        ({"base_batch_size": 1.5}, "base_batch_size must be a whole number of at least 1"),
        ({"base_batch_size": True}, "base_batch_size must be a whole number of at least 1"),
        ({"exponent": 1.1}, "exponent must be between 0 and 1"),
        ({"exponent": math.nan}, "exponent must be between 0 and 1"),
        ({"clip_norm": 0.0}, "clip_norm must be a number above 0, or null"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        SqrtLrScaling(**options)


def job(folder: Path, **changes: Any) -> trainwright.Job:
    values = {
        "name": "scaled",
        "data": {"source": "wine", "batch_size": 64},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "strategies": [{"name": "sqrt_lr_scaling", "base_batch_size": 16}],
        "optimizer": {"name": "sgd", "lr": 0.01},
        "schedule": {"name": "step", "milestones": ["1 epoch", "2 epochs"]},
        "training": {"epochs": 3},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(folder),
    }
    return trainwright.Job.from_dict({**values, **changes})


def test_every_rate_of_a_job_is_scaled(tmp_path: Path) -> None:
    trainwright.run(job(tmp_path))
    rates = Story.of(the_run(tmp_path)).curve("train/lr")
    assert rates == pytest.approx([0.02] * 3 + [0.002] * 3 + [0.0002] * 3)


def test_a_job_without_a_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(trainwright.InputError) as caught:
        trainwright.validate(job(tmp_path, optimizer={"name": "sgd"}))
    (problem,) = caught.value.problems
    assert problem.path == "strategies.0"
    assert "give optimizer.lr the value that was tuned at batches of 16" in problem.message
