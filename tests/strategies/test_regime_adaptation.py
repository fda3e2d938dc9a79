"""Regime adaptation: the paper's regime, the number of updates, whole jobs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from stories import Story, the_run

import trainwright
from trainwright.durations import Duration
from trainwright.job.models import TrainingSpec
from trainwright.schedules import Step
from trainwright.strategy import Plan
from trainwright.strategy.compose import apply_plan
from trainwright.training.timetable import Timetable
from trainwright_strategies.regime_adaptation import RegimeAdaptation, regime_factor, stretched
from trainwright_strategies.sqrt_lr_scaling import SqrtLrScaling


def plan(batch_size: int = 2048, **changes: Any) -> Plan:
    values = {"epochs": 200, "steps": None, "max_grad_norm": None, "optimizer": {"lr": 0.1}}
    values["schedule"] = {"milestones": ["81 epochs", "122 epochs"]}
    return Plan(batch_size=batch_size, **{**values, **changes})


@pytest.mark.parametrize(
    ("batch", "base", "factor"), [(2048, 128, 16), (512, 32, 16), (129, 128, 2), (128, 128, 1)]
)
def test_factor(batch: int, base: int, factor: int) -> None:
    assert regime_factor(batch, base) == factor


def test_the_regime_of_the_paper() -> None:
    """{0: .1, 81: .01, 122: .001} at batches of 128 becomes {0: .4, 1296: .04, 1952: .004}."""
    adapted = apply_plan([SqrtLrScaling(), RegimeAdaptation()], plan())
    assert adapted.epochs == 3200
    milestones = [Duration.parse(text) for text in adapted.schedule["milestones"]]
    factor = Step(milestones=milestones, gamma=0.1).bind(3200, steps_per_epoch=1)
    rates = [adapted.optimizer["lr"] * factor(epoch) for epoch in (0, 1295, 1296, 1951, 1952, 3199)]
    assert rates == pytest.approx([0.4, 0.4, 0.04, 0.04, 0.004, 0.004])


def test_the_number_of_updates_is_kept() -> None:
    """N = 1024: 640 updates at B = 32, 40 at 512, and 640 again with the regime adapted."""

    def updates(plan: Plan) -> int:
        return Timetable.of(plan, TrainingSpec(), 1024, cut_for=1).total_steps

    assert updates(plan(32, epochs=20)) == 640
    assert updates(plan(512, epochs=20)) == 40
    assert updates(RegimeAdaptation(32).plan(plan(512, epochs=20))) == 640


def test_durations_in_epochs_are_stretched_and_nothing_else() -> None:
    options = {
        "warmup": "0.5 epochs",
        "milestones": ["3 epochs", "100 steps", 0.75],
        "at": Duration(2, "epochs"),
        "curve": "cosine",
        "final": 0.1,
        "inner": {"hold": "1 epoch"},
    }
    assert stretched(options, 3) == {
        "warmup": "1.5 epochs",
        "milestones": ["9 epochs", "100 steps", 0.75],
        "at": "6 epochs",
        "curve": "cosine",
        "final": 0.1,
        "inner": {"hold": "3 epochs"},
    }


def test_long_durations_keep_their_digits() -> None:
    assert stretched("1234567 epochs", 3) == "3703701 epochs"


def test_a_factor_of_ones_own() -> None:
    shorter = RegimeAdaptation(factor=0.25).plan(plan(32))
    assert shorter.epochs == 50
    assert shorter.schedule == {"milestones": ["20.25 epochs", "30.5 epochs"]}
    assert RegimeAdaptation(factor=0.3).plan(plan(epochs=1)).epochs == 1
    assert RegimeAdaptation(factor=1.1).plan(plan(epochs=10)).epochs == 11


def test_neutral_setting_leaves_the_plan() -> None:
    before = plan()
    assert RegimeAdaptation(**RegimeAdaptation.declares.neutral).plan(before) is before
    assert RegimeAdaptation(2048).plan(before) is before


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ({}, {"epochs": None, "steps": 50}, "the job counts training.steps"),
        ({}, {"batch_size": 64}, "the batch of 64 is smaller than base_batch_size, 128"),
        ({"base_batch_size": 0}, {}, "base_batch_size must be a whole number of at least 1"),
        ({"base_batch_size": 2.0}, {}, "base_batch_size must be a whole number of at least 1"),
        ({"factor": 0.0}, {}, "factor must be a number above 0, or null"),
        ({"factor": float("inf")}, {}, "factor must be a number above 0, or null"),
    ],
)
def test_refused(options: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        RegimeAdaptation(**options).plan(plan(**changes))


def job(folder: Path, **training: Any) -> trainwright.Job:
    return trainwright.Job.from_dict(
        {
            "name": "adapted",
            "data": {"source": "wine", "batch_size": 89},
            "model": {"name": "mlp", "hidden": [8]},
            "objective": "cross_entropy",
            "strategies": [{"name": "regime_adaptation", "base_batch_size": 40}],
            "optimizer": {"name": "sgd", "lr": 0.01},
            "schedule": {"name": "step", "milestones": ["1 epoch"]},
            "training": training,
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
            "storage": str(folder),
        }
    )


def test_a_job_trains_as_many_updates_as_the_small_batch(tmp_path: Path) -> None:
    """178 samples: two updates an epoch; r = ceil(89 / 40) = 3."""
    result = trainwright.run(job(tmp_path, epochs=2))
    assert result.steps == 12
    rates = Story.of(the_run(tmp_path)).curve("train/lr")
    assert rates == pytest.approx([0.01] * 6 + [0.001] * 6)


def test_a_job_in_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(trainwright.InputError) as caught:
        trainwright.validate(job(tmp_path, steps=7))
    (problem,) = caught.value.problems
    assert problem.path == "strategies.0"
    assert "give training.epochs, or leave the strategy out" in problem.message
