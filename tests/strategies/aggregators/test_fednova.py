"""FedNova: the weight of steps against SGD itself, worked rounds, and what it mends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from quadratic_clients import QuadraticClients, two_on_a_line

from trainwright.federated import Federation, Layout
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.fednova import FedNova, weight_of_steps

UNLIKE = QuadraticClients.drawn(num_steps=(1, 10, 4), num_samples=(1, 2, 1))
SHARES = (1 / 4, 2 / 4, 1 / 4)
BY_STEPS = (1 / 4, 2 / 40, 1 / 16)
OPTIONS = [
    {},
    {"momentum": 0.9},
    {"momentum": 0.5, "nesterov": True},
    {"momentum": 0.8, "dampening": 0.3},
    {"dampening": 0.3},
]


def coefficients(num_steps: int, options: dict[str, Any]) -> list[float]:
    """Factors of the gradients in an update of torch's SGD: one gradient of 1 among zeros."""
    factors = []
    for place in range(num_steps):
        weight = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weight], lr=1.0, **options)
        for step in range(num_steps):
            weight.grad = torch.full_like(weight, float(step == place))
            optimizer.step()
        factors.append(-weight.item())
    return factors


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("num_steps", [1, 2, 7])
def test_weight_of_steps_is_the_sum_of_the_factors(num_steps: int, options: dict[str, Any]) -> None:
    assert weight_of_steps(num_steps, **options) == pytest.approx(
        sum(coefficients(num_steps, options)), rel=1e-12
    )


@pytest.mark.parametrize("num_steps", [1, 3, 200])
def test_weight_of_steps_with_momentum_as_printed_in_the_paper(num_steps: int) -> None:
    momentum = 0.9
    norm = num_steps - momentum * (1 - momentum**num_steps) / (1 - momentum)
    assert weight_of_steps(num_steps, momentum) == pytest.approx(norm / (1 - momentum), rel=1e-12)


def test_a_round_by_hand() -> None:
    found = two_on_a_line().miniature(FedNova(), lr=0.1).run(1)
    # 0 -> 0.19 in two steps, 0 -> -0.2 in one; shares 1/4 and 3/4
    assert found.weights.tolist() == pytest.approx([1.25 * (0.25 * 0.095 + 0.75 * -0.2)])


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equal_steps_are_averaging(options: dict[str, Any]) -> None:
    clients = QuadraticClients.drawn(num_steps=(3, 3, 3), num_samples=(5, 1, 2))
    ours, averaged = (
        clients.miniature(a, lr=0.05, **options).run(4) for a in (FedNova(), FedAvg())
    )
    assert torch.allclose(ours.weights, averaged.weights, rtol=0, atol=1e-14)


def test_bias_by_unlike_numbers_of_steps_vanishes_with_the_rate() -> None:
    optimum = UNLIKE.optimum(SHARES)

    def bias(rate: float, shares: Sequence[float]) -> float:
        return float((UNLIKE.limit(rate, shares) - optimum).norm())

    assert bias(1e-4, BY_STEPS) == pytest.approx(bias(1e-5, BY_STEPS) * 10, rel=0.01)
    assert bias(1e-5, BY_STEPS) < 1e-4
    # The mean of weights tends to the optimum of losses that count by steps as well.
    assert bias(1e-5, SHARES) > 0.1


def test_rounds_end_where_the_closed_form_says() -> None:
    found = UNLIKE.miniature(FedNova(), lr=0.05).run(60)
    assert torch.allclose(found.weights, UNLIKE.limit(0.05, BY_STEPS), atol=1e-8)
    averaged = UNLIKE.miniature(FedAvg(), lr=0.05).run(60)
    assert torch.allclose(averaged.weights, UNLIKE.limit(0.05, SHARES), atol=1e-8)
    ours, others = (float((f.weights - UNLIKE.optimum(SHARES)).norm()) for f in (found, averaged))
    assert ours < 0.5 * others


def test_momentum_counts_the_steps_that_it_repeats() -> None:
    """Gradients that do not change: each update is -lr |a| times its gradient, -1 and 3."""
    curvatures = torch.full((2, 1, 1), 1e-9, dtype=torch.float64)
    centres = torch.tensor([[1e9], [-3e9]], dtype=torch.float64)
    clients = QuadraticClients(curvatures, centres, (2, 9), (1, 1))
    found = clients.miniature(FedNova(), lr=0.1, momentum=0.9).run(1)
    steps = (weight_of_steps(2, 0.9) + weight_of_steps(9, 0.9)) / 2
    assert found.weights.tolist() == pytest.approx([-0.1 * steps * (-1 + 3) / 2])


def test_other_optimizers_are_refused() -> None:
    federation = Federation(2, 2, 1, Layout(()), "adamw", {"lr": 0.1})
    with pytest.raises(ValueError, match="got adamw: use the optimizer sgd"):
        FedNova().check(federation)
