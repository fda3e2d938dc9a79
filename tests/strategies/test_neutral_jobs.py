"""Whole jobs in process: neutral settings equal no strategy bit for bit, others do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright_strategies.early_stopping import EarlyStopping
from trainwright_strategies.ghost_batch_norm import GhostBatchNorm
from trainwright_strategies.multi_sample_dropout import MultiSampleDropout

STRATEGIES = {
    "early_stopping": (EarlyStopping, {}),
    "ghost_batch_norm": (GhostBatchNorm, {"ghost_batch_size": 16}),
    "multi_sample_dropout": (MultiSampleDropout, {"num_samples": 3}),
}


def metrics_of(folder: Path, *strategies: dict[str, Any]) -> dict[str, float]:
    job = trainwright.Job.from_dict(
        {
            "name": "neutral",
            "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
            "model": {"name": "convnet", "width": 4, "dropout": 0.3},
            "objective": "z_loss",
            "strategies": list(strategies),
            "optimizer": {"name": "adamw", "lr": 0.01},
            "training": {"epochs": 2},
            "cluster": {"workers": 0},
            "tracking": {"enabled": False},
            "storage": str(folder),
        }
    )
    return dict(trainwright.run(job).metrics)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return metrics_of(tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("name", STRATEGIES)
def test_neutral_setting_equals_no_strategy_bit_for_bit(name, plain, tmp_path) -> None:
    neutral = STRATEGIES[name][0].declares.neutral
    assert metrics_of(tmp_path, {"name": name, **neutral}) == plain


@pytest.mark.parametrize("name", ["ghost_batch_norm", "multi_sample_dropout"])
def test_other_settings_train_differently(name, plain, tmp_path) -> None:
    metrics = metrics_of(tmp_path, {"name": name, **STRATEGIES[name][1]})
    assert metrics.keys() == plain.keys()
    assert metrics["train/loss"] != plain["train/loss"]
    assert metrics["validation/loss"] < 0.6


def test_early_stopping_ends_a_job(tmp_path) -> None:
    """The weights hardly move at this rate, so no evaluation improves by so much."""
    job = {
        "name": "stops",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "strategies": [{"name": "early_stopping", "patience": 2, "min_delta": 0.5}],
        "optimizer": {"name": "sgd", "lr": 1e-6},
        "training": {"epochs": 9},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(tmp_path),
    }
    steps_per_epoch = 6
    result = trainwright.run(trainwright.Job.from_dict(job))
    assert result.steps == 3 * steps_per_epoch
    assert result.status == "finished"
