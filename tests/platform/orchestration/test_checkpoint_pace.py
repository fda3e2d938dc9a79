"""How often a run of a sweep or a comparison writes a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trainwright.checkpoint import CheckpointStore
from trainwright.job import Job
from trainwright.orchestration import light
from trainwright.orchestration.light import Errand, train_light
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.storage import Folder

EPOCHS = 6


def steps_of(tmp_path: Path, pace_s: float = 10.0, **training: Any) -> list[int]:
    """The checkpoints that a small run leaves, two updates in each epoch."""
    source = {"name": "synthetic_classification", "num_samples": 40, "num_features": 3}
    values = {
        "name": "small",
        "data": {"source": source, "batch_size": 16, "validation": 0.2},
        "model": {"name": "mlp", "hidden": [4]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.0},
        "training": {"epochs": EPOCHS, "keep": {"last": 99, "best": 1}, **training},
        "engine": "local",
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
    }
    folder = Folder(str(tmp_path / "run"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(light, "CHECKPOINT_PACE_S", pace_s)
        errand = Errand.of(Job.from_dict(values, base=tmp_path), folder, "parent", {})
    assert train_light(errand, LocalMonitor()).status == "finished"
    return [checkpoint.step for checkpoint in CheckpointStore(folder).list()]


def test_epochs_shorter_than_the_pace_leave_the_best_and_the_last(tmp_path: Path) -> None:
    assert steps_of(tmp_path) == [2, 2 * EPOCHS]  # the loss is always that of the first epoch


def test_longer_ones_leave_one_each(tmp_path: Path) -> None:
    assert steps_of(tmp_path, pace_s=0.0) == [2 * epoch for epoch in range(1, EPOCHS + 1)]


def test_what_the_job_says_is_done(tmp_path: Path) -> None:
    assert steps_of(tmp_path, checkpoint_every="4 steps") == [2, 4, 8, 12]
