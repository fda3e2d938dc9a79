"""The variance of the gradient under several dropout masks."""

from __future__ import annotations

import copy

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from trainwright_strategies.multi_sample_dropout import MultiSampleDropout


def test_gradient_variance_falls_as_one_over_the_number_of_samples(training) -> None:
    """Total variance over 400 draws at the digits MLP of the specification: 0.2177 / M."""
    digits = load_digits()
    batch = {
        "x": torch.tensor(digits.data[:64] / 16, dtype=torch.float32),
        "target": torch.tensor(digits.target[:64]),
    }
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 10))
    total = {}
    for num_samples in (1, 2, 4, 8):
        strategy = MultiSampleDropout(num_samples)
        run = training(copy.deepcopy(model), nn.CrossEntropyLoss(), strategy)
        draws = torch.stack(
            [torch.cat([g.flatten() for g in run.gradient(batch)[1].values()]) for _ in range(400)]
        )
        total[num_samples] = draws.var(dim=0).sum().item()
        noise = (total[num_samples] / 400) ** 0.5
        assert draws.mean(dim=0).norm().item() == pytest.approx(0.598, abs=0.002 + noise / 5)
    assert total[1] == pytest.approx(0.2177, rel=0.02)
    for num_samples in (2, 4, 8):
        assert total[num_samples] / total[1] == pytest.approx(1 / num_samples, rel=0.1)
