"""The probe against the mean absolute output by hand; training is the same bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trainwright
from trainwright_strategies.output_scale import OutputScale


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.layer(x), "embedding": x}


class CrossEntropy(nn.CrossEntropyLoss):
    couples = "sample"

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().forward(logits, target)


BATCH = {"x": torch.randn(5, 3), "target": torch.tensor([0, 1, 2, 3, 0])}


@pytest.mark.parametrize("output", ["logits", "embedding"])
def test_the_scale_is_the_mean_absolute_output(training: Any, output: str) -> None:
    model = Linear()
    watched = training(model, CrossEntropy(), OutputScale(output))
    loss = watched.compute(BATCH)
    values = model(BATCH["x"])[output]
    by_hand = sum(abs(v) for row in values.tolist() for v in row) / values.numel()
    assert loss.logged["output_scale"].item() == pytest.approx(by_hand, rel=1e-6)
    assert not loss.logged["output_scale"].requires_grad
    assert watched.plain.forwards == 1


def test_loss_and_gradients_are_those_without_it(training: Any) -> None:
    model = Linear()
    bare, bare_gradients = training(model, CrossEntropy()).gradient(BATCH)
    seen, gradients = training(model, CrossEntropy(), OutputScale()).gradient(BATCH)
    assert torch.equal(bare, seen)
    assert all(torch.equal(bare_gradients[name], gradients[name]) for name in bare_gradients)


def test_an_output_that_is_not_there(training: Any) -> None:
    with pytest.raises(ValueError, match="no output 'logit'; it gives logits, embedding"):
        training(Linear(), CrossEntropy(), OutputScale("logit")).compute(BATCH)


def test_a_whole_job_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    job = {
        "name": "probed",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": {"name": "convnet", "width": 4, "dropout": 0.3},
        "objective": "cross_entropy",
        "training": {"epochs": 1},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(tmp_path),
    }
    plain = trainwright.run(job)
    probed = trainwright.run({**job, "strategies": ["output_scale"]})
    assert probed.run != plain.run
    assert probed.metrics == plain.metrics
