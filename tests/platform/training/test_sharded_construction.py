"""Stage 3 runs whose workers build the model in parts, against workers that build it whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import write_job
from stories import Story

from trainwright.job import Job
from trainwright.orchestration.prepare import prepare

IMAGES = {
    "data": {"source": "digits", "batch_size": 64, "validation": 0.2},
    "objective": "cross_entropy",
    "metrics": ["accuracy"],
}
TOKENS = {
    "data": {"source": {"name": "text", "files": "story.txt", "length": 8}, "batch_size": 16},
    "objective": "causal_lm",
}
GHOSTS = {"name": "ghost_batch_norm", "ghost_batch_size": 16}
MASKS = {"name": "multi_sample_dropout", "num_samples": 4}
CASES: dict[str, dict[str, Any]] = {
    "mlp": {
        **IMAGES,
        "model": {"name": "mlp", "hidden": [48, 48], "dropout": 0.2},
        "strategies": [MASKS, {"name": "ema", "decay": 0.9}],
    },
    "convnet": {
        **IMAGES,
        "model": {"name": "convnet", "width": 8, "dropout": 0.2},
        "strategies": [MASKS, GHOSTS],
    },
    "bf16": {
        **IMAGES,
        "model": {"name": "convnet", "width": 8},
        "strategies": [GHOSTS],
        "training.precision": "bf16",
    },
    "gpt": {**TOKENS, "model": {"name": "gpt", "dim": 16, "depth": 2, "heads": 2, "dropout": 0.1}},
    "hf": {
        **TOKENS,
        "model": {
            "name": "hf",
            "config": {"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16},
        },
    },
}


def _work(job: dict[str, Any], folder: str, in_parts: bool) -> list[str]:
    """Runs on every worker: the job, with everything but the tiniest tensors counted as large."""
    from unittest.mock import patch

    from trainwright.training import assembling
    from trainwright.training.worker import WorkOrder, work

    with patch("trainwright.engine.deferred.SMALL", 20):
        if in_parts:
            return work(WorkOrder(job, folder, f"{folder}/parts"), None).warnings
        with patch.object(assembling, "is_sharded", lambda job: False):
            return work(WorkOrder(job, folder, f"{folder}/whole"), None).warnings


def _job(folder: Path, workers: int, case: dict[str, Any]) -> dict[str, Any]:
    values = {
        "name": "parts",
        "training.steps": 4,
        "training.max_grad_norm": 0.5,
        "deepspeed.zero_optimization.stage": 3,
        "cluster.workers": workers,
        "tracking.enabled": False,
        **case,
    }
    (folder / "story.txt").write_text("every worker holds a part of it. " * 20)
    return Job.load(write_job(folder, values)).spec.model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_the_run_is_the_same_bit_for_bit(
    name: str, world: int, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if name == "hf":
        pytest.importorskip("transformers")
    workers = request.getfixturevalue({1: "one_worker", 2: "two_workers"}[world])
    job = _job(tmp_path, world, CASES[name])
    for in_parts in (False, True):
        for warnings in workers.run(_work, job, str(tmp_path), in_parts):
            assert warnings == [], "the model was built whole after all"
    parts, whole = (Story.of(tmp_path / folder) for folder in ("parts", "whole"))
    assert len(parts.curve("train/loss")) == 4
    assert parts.metrics == whole.metrics


PLUGIN = """
from torch import nn


class Measured(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layer = nn.Linear(in_features, out_features)
        self.largest = float(abs(self.layer.weight.detach().numpy()).max())

    def forward(self, image):
        return self.layer(image.flatten(1)) / self.largest
"""


def test_a_model_that_reads_its_weights_is_built_whole_and_said_to_be(
    two_workers: Any, tmp_path: Path
) -> None:
    (tmp_path / "measured.py").write_text(PLUGIN)
    case = {**IMAGES, "model": "measured.py:Measured"}
    job = _job(tmp_path, 2, case)
    for warnings in two_workers.run(_work, job, str(tmp_path), True):
        (remark,) = warnings
        assert "every worker builds the model whole" in remark
        assert "numpy" in remark
    two_workers.run(_work, job, str(tmp_path), False)
    parts, whole = (Story.of(tmp_path / folder) for folder in ("parts", "whole"))
    assert parts.metrics == whole.metrics


@pytest.mark.parametrize("stage", [2, 3])
def test_what_this_machine_cannot_hold_is_checked_without_a_pass(
    stage: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "measured.py").write_text(PLUGIN)
    case = {**IMAGES, "model": {"name": "mlp", "hidden": [300, 300]}}
    case["deepspeed.zero_optimization.stage"] = stage
    _job(tmp_path, 2, case)
    job = Job.load(tmp_path / "job.yaml")
    monkeypatch.setattr("trainwright.orchestration.trial.SHARE", 1e-9)
    prepared = prepare(job)
    said = [remark for remark in prepared.remarks if "not tried on samples" in remark]
    assert len(said) == (stage == 3)
    assert any("112,810 trainable weights" in line for line in prepared.summary)
    monkeypatch.undo()
    again = prepare(job)
    assert not any("not tried" in remark for remark in again.remarks)
    assert (again.name, again.total_steps) == (prepared.name, prepared.total_steps)
    monkeypatch.setattr("trainwright.engine.deferred.SMALL", 20)
    whole = {**IMAGES, "model": "measured.py:Measured"}
    _job(tmp_path, 2, {**whole, "deepspeed.zero_optimization.stage": stage})
    remarks = prepare(Job.load(tmp_path / "job.yaml")).remarks
    assert any("builds the model whole" in remark for remark in remarks) == (stage == 3)
