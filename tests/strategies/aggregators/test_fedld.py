"""FedLD as the sum of its two parts: the penalty in the clients, the directions at the server."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.federated import Aggregator
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Batch, Loss, Outputs
from trainwright.testing import Classes, Miniature, federation_of
from trainwright_objectives.margin_control_ce import MarginControlCE
from trainwright_strategies.aggregators.fedld import FedLD
from trainwright_strategies.aggregators.principal_gradient_aggregation import (
    PrincipalGradientAggregation,
)

FORMS = [("paper", "logits", "sample"), ("official_code", "probs", "batch")]


class Compute:
    """The loss of an objective, as the platform has it, on what ``forward`` gives."""

    def __init__(self, forward: Callable[[Batch], Outputs], objective: nn.Module) -> None:
        self.forward = forward
        self.objective = WeightedSum([Term(objective, "objective")])

    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        raise NotImplementedError

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        return self.objective(self.forward(batch) if outputs is None else outputs, batch)


class ClassesBy(Classes):
    """Clients with samples of three classes who minimise some objective."""

    def __init__(self, objective: nn.Module) -> None:
        super().__init__()
        self.objective = objective

    def compute(self, weights: Tensor) -> Compute:
        return Compute(super().compute(weights).forward, self.objective)


def trained(aggregator: Aggregator, objective: nn.Module) -> Tensor:
    """The weights after some rounds."""
    return Miniature(aggregator, ClassesBy(objective)).run(4).weights


def loss_of(aggregator: Aggregator, batch: Batch, logits: Tensor) -> Loss:
    """Of clients that minimise cross-entropy, for a model that gives ``logits``."""
    compute = Compute(lambda _: {"logits": logits}, nn.CrossEntropyLoss())
    nobody: Any = None
    return aggregator.loss(batch, compute, nobody)


@pytest.mark.parametrize(("preset", "source", "norm"), FORMS)
def test_it_is_its_two_parts_bit_for_bit(preset: Any, source: Any, norm: Any) -> None:
    found = trained(FedLD(preset), nn.CrossEntropyLoss())
    expected = trained(PrincipalGradientAggregation(), MarginControlCE(0.1, source, norm))
    assert found.equal(expected)
    assert not found.equal(trained(PrincipalGradientAggregation(), nn.CrossEntropyLoss()))
    assert not found.equal(trained(FedLD(preset, projection="plain"), nn.CrossEntropyLoss()))


def test_without_margin_it_is_the_aggregation_alone_bit_for_bit() -> None:
    found = trained(FedLD(margin_weight=0.0), nn.CrossEntropyLoss())
    assert found.equal(trained(PrincipalGradientAggregation(), nn.CrossEntropyLoss()))


@pytest.mark.parametrize(
    "option",
    [{"k_proportion": 0.3}, {"calibrate": "majority"}, {"projection": "plain"}, {"eps": 0.5}],
)
def test_all_options_of_the_server_arrive(option: dict[str, Any]) -> None:
    found = trained(FedLD(margin_weight=0.0, **option), nn.CrossEntropyLoss())
    parts = PrincipalGradientAggregation(**option)
    assert found.equal(trained(parts, nn.CrossEntropyLoss()))
    assert not found.equal(trained(PrincipalGradientAggregation(), nn.CrossEntropyLoss()))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 0.751798),
        ({"preset": "official_code"}, 0.706506),
        ({"source": "probs"}, 0.675927),
        ({"preset": "official_code", "norm": "sample"}, 0.675927),
        ({"preset": "official_code", "source": "logits", "norm": "sample"}, 0.751798),
        ({"margin_weight": 0.0}, 0.634229),
    ],
)
def test_worked_values(options: dict[str, Any], expected: float) -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]], dtype=torch.float64)
    batch = {"target": torch.tensor([0, 2])}
    loss = loss_of(FedLD(**options), batch, logits)
    assert loss.value.item() == pytest.approx(expected, abs=1e-6)
    penalty = loss.logged.get("margin", torch.tensor(0.0)).item()
    assert penalty == pytest.approx(expected - 0.634229, abs=2e-6)


@pytest.mark.parametrize("source", ["logits", "probs"])
def test_weights_of_samples_count_in_the_penalty(source: Any) -> None:
    """Padding has the weight 0; the mean is over the batch, padding included."""
    logits = torch.randn(4, 3, dtype=torch.float64)
    target = torch.tensor([0, 2, 1, 0])
    aggregator = FedLD(source=source, margin_weight=0.3)
    expected = loss_of(aggregator, {"target": target[:3]}, logits[:3])
    weights = torch.tensor([4 / 3, 4 / 3, 4 / 3, 0.0])
    logits[3] = 7.0
    found = loss_of(aggregator, {"target": target, "sample_weight": weights}, logits)
    assert found.value.item() == pytest.approx(expected.value.item(), rel=1e-7)
    margin = expected.logged["margin"].item()
    assert found.logged["margin"].item() == pytest.approx(margin, rel=1e-7)


def test_what_runs_for_many_clients_at_once() -> None:
    assert FedLD().functional
    assert not FedLD("official_code").functional
    assert FedLD("official_code", norm="sample").functional
    aggregator, stacked = FedLD(), torch.randn(5, 7, 4)
    target = torch.randint(4, (5, 7))

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        return loss_of(aggregator, {"target": labels}, logits).value

    together = torch.func.vmap(torch.func.grad(loss))(stacked, target)
    alone = torch.stack(
        [torch.func.grad(loss)(*pair) for pair in zip(stacked, target, strict=True)]
    )
    torch.testing.assert_close(together, alone)


def test_a_batch_norm_cannot_weight_samples() -> None:
    batch = {"target": torch.tensor([0, 1]), "sample_weight": torch.ones(2)}
    with pytest.raises(ValueError, match="cannot weight samples; use norm: sample"):
        loss_of(FedLD("official_code"), batch, torch.zeros(2, 3))


def test_the_output_is_checked() -> None:
    federation = federation_of(Classes(), 3)
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits, embedding"):
        FedLD(output="scores").check(federation)
    FedLD(output="embedding").check(federation)
    FedLD(output="scores").check(replace(federation, outputs=()))
    with pytest.raises(ValueError, match="logits of shape"):
        loss_of(FedLD(), {"target": torch.zeros(2, 5)}, torch.zeros(2, 5, 3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "code"}, "preset must be paper or official_code, got 'code'"),
        ({"margin_weight": -0.1}, "margin_weight must be a number of at least 0, got -0.1"),
        ({"margin_weight": math.nan}, "margin_weight must be a number of at least 0"),
        ({"source": "softmax"}, "source must be logits or probs, got 'softmax'"),
        ({"norm": "mean"}, "norm must be sample or batch, got 'mean'"),
        ({"k_proportion": 0.0}, "k_proportion must be above 0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        FedLD(**options)
