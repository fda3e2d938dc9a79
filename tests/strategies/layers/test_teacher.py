"""Where a teacher's knowledge comes from, in whole jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import trainwright
from trainwright.errors import InputError


def job(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "name": "dual",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "strategies": [{"name": "dual_head_distillation", **options}],
        "optimizer": {"name": "sgd", "lr": 0.1},
        "training": {"epochs": 2},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(folder),
    }


def test_a_job_whose_teacher_learns_first(tmp_path: Path) -> None:
    learner = {"name": "mlp", "hidden": [64], "batch_norm": True}
    result = trainwright.run(job(tmp_path, teacher=learner, teacher_epochs=3, teacher_lr=0.01))
    assert result.steps == 5 * 6
    assert result.metrics["validation/teacher_accuracy"] > 0.85
    assert 0 < result.metrics["validation/aux_accuracy"] < 1


def test_a_teacher_from_an_earlier_run(tmp_path: Path) -> None:
    learner = {"name": "mlp", "hidden": [64], "batch_norm": True}
    lesson = {**job(tmp_path), "model": learner, "strategies": [], "metrics": ["accuracy"]}
    taught = trainwright.run({**lesson, "optimizer": {"name": "adam", "lr": 0.01}})
    folder = trainwright.export(taught.run, storage=tmp_path).folder
    result = trainwright.run(job(tmp_path, teacher=learner, teacher_weights=folder))
    known = result.metrics["validation/teacher_accuracy"]
    assert known == pytest.approx(taught.metrics["validation/accuracy"])
    assert known > 0.5


def test_a_teacher_that_does_not_fit_is_told_before_training(tmp_path: Path) -> None:
    weights = str(tmp_path / "model.safetensors")
    save_file({"a": torch.ones(2)}, weights)
    with pytest.raises(InputError, match=r"weights of the teacher.*\n.*Missing key"):
        trainwright.validate(job(tmp_path, teacher="convnet", teacher_weights=weights))
    for place, message in (("empty", "no safetensors files"), ("nowhere", "No such file")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        path = str(tmp_path / place)
        with pytest.raises(InputError, match=f"weights of the teacher in .*{message}"):
            trainwright.validate(job(tmp_path, teacher="convnet", teacher_weights=path))
