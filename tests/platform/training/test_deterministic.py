"""``training.deterministic``: the same numbers twice, and nothing left behind in the process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from trainwright.errors import JobError
from trainwright.testing import Rig
from trainwright.testing.trace import differences

JOB = {
    "name": "same",
    "data": {"source": "digits", "batch_size": 300, "validation": 0.3},
    "model": {"name": "convnet", "options": {"width": 2, "dropout": 0.2}},
    "objective": "cross_entropy",
    "training": {"epochs": 1, "deterministic": True},
}
PUTTING = """
import torch
from torch import nn

from trainwright.strategy import Strategy


class PuttingLoss(nn.Module):
    def forward(self, logits):
        return logits.put(torch.tensor([0]), torch.tensor([1.0])).mean()


class Putting(Strategy):
    def updated(self, step):
        torch.zeros(2).put_(torch.tensor([0]), torch.tensor([1.0]))
"""


def test_twice_the_same_and_torch_as_before(tmp_path: Path) -> None:
    traces = []
    for turn in ("first", "second"):
        with Rig(tmp_path / turn) as rig:
            traces.append(rig.train(JOB))
    assert list(differences(*traces)) == []
    assert not torch.are_deterministic_algorithms_enabled()


def test_during_training_too_an_operation_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "putting.py").write_text(PUTTING)
    job = {**JOB, "strategies": ["putting.py:Putting"]}
    with (
        Rig(tmp_path / "runs") as rig,
        pytest.raises(RuntimeError, match="put_ does not have a deterministic implementation"),
    ):
        rig.train(job, base=tmp_path)
    assert not torch.are_deterministic_algorithms_enabled()


def test_validation_names_the_operation_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "putting.py").write_text(PUTTING)
    job = {**JOB, "objective": "putting.py:PuttingLoss"}
    with Rig(tmp_path / "runs") as rig:
        with pytest.raises(JobError) as caught:
            rig.prepare(job, base=tmp_path)
        (problem,) = caught.value.problems
        assert problem.path == "objective"
        assert "put_ does not have a deterministic implementation" in problem.message
        assert problem.mend == "use another operation, or set training.deterministic: false"
        assert not torch.are_deterministic_algorithms_enabled()
        rig.prepare({**job, "training": {"epochs": 1}}, base=tmp_path)
