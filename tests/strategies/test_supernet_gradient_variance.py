"""The variance of weighted gradients against gradients of single samples, one by one."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright.strategy import Context
from trainwright_strategies.importance import residuals
from trainwright_strategies.residual_supernet import ResidualSupernet
from trainwright_strategies.supernet_gradient_variance import (
    SupernetGradientVariance,
    gradient_moments,
    variances,
)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def one_by_one(model: nn.Module, x: Tensor, target: Tensor, label_smoothing: float) -> Tensor:
    """The whole gradient of each sample, shape (n, number of elements)."""
    rows = []
    for one, label in zip(x, target, strict=True):
        loss = functional.cross_entropy(
            model(one[None]), label[None], label_smoothing=label_smoothing
        )
        parts = torch.autograd.grad(loss, list(model.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    return torch.stack(rows)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_moments_are_those_of_single_samples(label_smoothing: float) -> None:
    model, x, target = network(), torch.randn(9, 4).double(), torch.randint(3, (9,))
    unused = torch.zeros(2, requires_grad=True)
    logits = model(x)
    squares, summed = gradient_moments(
        logits, residuals(logits, target, label_smoothing), [*model.parameters(), unused]
    )
    rows = one_by_one(model, x, target, label_smoothing)
    torch.testing.assert_close(squares, rows.square().sum(1), rtol=1e-10, atol=0)
    torch.testing.assert_close(summed[:-2], rows.sum(0), rtol=1e-10, atol=1e-14)
    assert not summed[-2:].any()


def test_variances_of_four_gradients() -> None:
    rows = torch.tensor([[3.0, 0], [0, 1], [1, 1], [0.5, -0.5]], dtype=torch.float64)
    squares, mean_square = rows.square().sum(1), rows.mean(0).square().sum()
    found = variances(squares, 2 * squares.sqrt().float(), mean_square, tau=0.5)
    expected = {
        "uniform": 1.718750,
        "weighted": 1.106941,
        "optimal": 0.935660,
        "reduction": 1 - 1.106941 / 1.718750,
        "excess": 1.106941 / 0.935660 - 1,
        "correlation": 1.0,
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(
        expected, abs=1e-5
    )
    silent = variances(torch.zeros(3).double(), torch.zeros(3), torch.tensor(0.0).double(), 1.0)
    assert [float(value) for value in silent.values()] == [0, 0, 0, 1, -1, 0]


class Data:
    def __init__(self, x: Tensor, target: Tensor) -> None:
        self.columns = {"x": x, "target": target, "sample_id": torch.arange(len(x))}

    def batches(self, split: str, batch_size: int) -> Any:
        for start in range(0, len(self.columns["x"]), batch_size):
            yield {n: column[start : start + batch_size] for n, column in self.columns.items()}


@pytest.mark.parametrize("num_samples", [None, 7])
def test_it_records_when_it_is_time(num_samples: int | None) -> None:
    model, x, target = network(), torch.randn(10, 4).double(), torch.randint(3, (10,))
    context = Context(seed=0, data=Data(x, target), steps_per_epoch=2)
    probe = SupernetGradientVariance(num_samples=num_samples, batch_size=4)
    probe.begin(context)
    step = SimpleNamespace(
        index=2, model=model, forward=lambda batch: {"logits": model(batch["x"])}
    )
    taken: list[int] = []
    probe.step(step, lambda: taken.append(1))
    logged = context.take_logged()
    rows = one_by_one(model, x[:num_samples], target[:num_samples], 0.0)
    uniform = rows.square().sum(1).mean() - rows.mean(0).square().sum()
    optimal = rows.norm(dim=1).mean() ** 2 - rows.mean(0).square().sum()
    assert float(logged["gradient_variance/uniform"]) == pytest.approx(float(uniform), rel=1e-9)
    assert float(logged["gradient_variance/optimal"]) == pytest.approx(float(optimal), rel=1e-9)
    step.index = 3
    probe.step(step, lambda: taken.append(1))
    assert not context.take_logged(), "only at every second update"
    assert len(taken) == 2


def test_a_supernet_is_measured_over_paths() -> None:
    torch.manual_seed(0)
    model, x = ResidualSupernet(4, 3, edges=2), torch.randn(8, 4)
    target = torch.randint(3, (8,))
    context = Context(seed=0, data=Data(x, target), steps_per_epoch=1)
    probe, usual = SupernetGradientVariance(num_paths=3, batch_size=4), model.path
    probe.model(model, context)
    probe.begin(context)
    step = SimpleNamespace(index=0, model=model, forward=lambda batch: model(batch["x"]))
    probe.step(step, lambda: None)
    logged = context.take_logged()
    assert model.path == usual
    expected, seen = [], set(probe._paths)
    for path in probe._paths:
        model.path = path
        found = [p for p in model.parameters() if p.requires_grad]
        rows = []
        for one, label in zip(x, target, strict=True):
            loss = functional.cross_entropy(model(one[None])["logits"], label[None])
            parts = torch.autograd.grad(loss, found, allow_unused=True)
            rows.append(torch.cat([part.flatten() for part in parts if part is not None]))
        rows = torch.stack(rows).double()
        expected.append(float(rows.square().sum(1).mean() - rows.mean(0).square().sum()))
    assert len(seen) > 1
    assert float(logged["gradient_variance/uniform"]) == pytest.approx(sum(expected) / 3, rel=1e-5)


def test_several_paths_need_a_supernet() -> None:
    with pytest.raises(ValueError, match="the model is no supernet"):
        SupernetGradientVariance(num_paths=2).model(network(), Context(seed=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 1.1}, r"tau must be a number in \[0, 1\]"),
        ({"label_smoothing": -0.1}, r"label_smoothing must be in \[0, 1\)"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"num_paths": 0}, "num_paths must be a whole number of at least 1"),
        ({"num_samples": 1}, "num_samples must be a whole number of at least 2"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupernetGradientVariance(**options)
