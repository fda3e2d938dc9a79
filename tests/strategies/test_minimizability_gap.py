"""The least comp-sum loss against minimisation by numbers, and the probe against slow loops."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_strategies.minimizability_gap import (
    MinimizabilityGap,
    expected_loss,
    least_loss,
)

TAUS = (0.0, 0.5, 1.0, 1.5, 1.9, 2.0, 3.0)


def distributions(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Scores, and class probabilities, some of which are 0."""
    generator = torch.Generator().manual_seed(seed)
    logits, other = 2 * torch.randn(2, size, 4, dtype=torch.float64, generator=generator)
    probabilities = other.softmax(dim=1)
    probabilities[0] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    probabilities[1] = torch.tensor([0.3, 0.7, 0.0, 0.0])
    return logits, probabilities


def by_hand(logits: list[float], probabilities: list[float], tau: float) -> float:
    """Class by class, from sums of exponentials."""
    expected = 0.0
    for label, probability in enumerate(probabilities):
        others = sum(math.exp(v - logits[label]) for i, v in enumerate(logits) if i != label)
        power = math.log(1 + others) if tau == 1 else ((1 + others) ** (1 - tau) - 1) / (1 - tau)
        expected += probability * power
    return expected


class Given:
    """An evaluation whose outputs are given."""

    def __init__(self, logits: Tensor, probabilities: Tensor) -> None:
        self.parts = zip(logits.split(3), probabilities.split(3), strict=True)

    def batches(self) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        for logits, probabilities in self.parts:
            yield {"probabilities": probabilities}, {"logits": logits}

    def sum(self, value: Tensor) -> Tensor:
        return value


@pytest.mark.parametrize("tau", TAUS)
def test_nothing_on_a_grid_is_below_the_least_and_something_reaches_it(tau: float) -> None:
    steps = torch.arange(1e-6, 1.0, 1e-4, dtype=torch.float64)
    logits = torch.stack([steps, 1 - steps], dim=1).log()
    for share in (0.5, 0.3, 0.05):
        probabilities = torch.tensor([[share, 1 - share]], dtype=torch.float64)
        losses = expected_loss(logits, probabilities.expand_as(logits), tau, 1.0)
        least = float(least_loss(probabilities, tau))
        assert least <= float(losses.min()) + 1e-12
        assert float(losses.min()) == pytest.approx(least, abs=2e-5)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5])
def test_the_least_is_where_predicted_probabilities_are_a_power(tau: float) -> None:
    _, probabilities = distributions(5)
    best = probabilities ** (1 / (2 - tau))
    logits = best.clamp(min=1e-300).log()
    found = expected_loss(logits, probabilities, tau, 1.0)
    torch.testing.assert_close(found, least_loss(probabilities, tau), rtol=1e-9, atol=1e-9)
    for seed in range(5):
        moved = logits + distributions(5, seed)[0]
        assert (expected_loss(moved, probabilities, tau, 1.0) >= found - 1e-12).all()


def test_worked_least_losses() -> None:
    quarters = torch.tensor([[0.75, 0.25]], dtype=torch.float64)
    worked = {0.0: 2 * math.sqrt(3) / 4, 1.0: 0.5623351, 1.5: 2 * (1 - math.sqrt(0.625)), 2.0: 0.25}
    for tau, value in {**worked, 3.0: 0.125}.items():
        assert float(least_loss(quarters, tau)) == pytest.approx(value, abs=1e-6), tau
    near = [float(least_loss(quarters, tau)) for tau in (1 - 1e-6, 1 + 1e-6)]
    assert near == pytest.approx([0.5623351, 0.5623351], abs=1e-5)
    assert least_loss(torch.tensor([[1.0, 0.0]]), 0.5).item() == 0.0


@pytest.mark.parametrize("tau", TAUS)
def test_the_probe_equals_slow_loops(tau: float) -> None:
    logits, probabilities = distributions(7)
    found = MinimizabilityGap(tau, temperature=0.5).evaluate(Given(logits, probabilities))
    pairs = zip((logits / 0.5).tolist(), probabilities.tolist(), strict=True)
    loss = sum(by_hand(*pair, tau) for pair in pairs) / 7
    assert found["conditional_loss"] == pytest.approx(loss, rel=1e-10)
    least = float(least_loss(probabilities, tau).mean())
    assert found["conditional_least"] == pytest.approx(least, rel=1e-10)
    assert found["minimizability_gap"] == pytest.approx(loss - least, rel=1e-10)
    assert found["minimizability_gap"] > 0


def test_scores_that_tell_the_probabilities_leave_no_gap() -> None:
    _, probabilities = distributions(6)
    logits = probabilities.clamp(min=1e-30).log()
    found = MinimizabilityGap().evaluate(Given(logits.float(), probabilities.float()))
    assert found["minimizability_gap"] == pytest.approx(0.0, abs=1e-6)


def test_what_is_no_distribution() -> None:
    logits, probabilities = distributions(4)
    with pytest.raises(ValueError, match=r"shape of the logits, \(3, 4\), got \(3, 2\)"):
        MinimizabilityGap().evaluate(Given(logits, probabilities[:, :2]))
    for wrong in (2 * probabilities, probabilities - 0.5 + 0.5 * torch.eye(4).double()):
        with pytest.raises(ValueError, match="at least 0 and add up to 1"):
            MinimizabilityGap().evaluate(Given(logits, wrong))
    with pytest.raises(ValueError, match="no column 'p'; it has probabilities"):
        MinimizabilityGap(probabilities="p").evaluate(Given(logits, probabilities))
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits"):
        MinimizabilityGap(output="scores").evaluate(Given(logits, probabilities))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": -1.0}, "tau must be a number of at least 0, got -1.0"),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MinimizabilityGap(**options)
