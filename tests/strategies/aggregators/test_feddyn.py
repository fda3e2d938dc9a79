"""FedDyn: worked rounds, its limit, and the optimum that averaging misses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from quadratic_clients import QuadraticClients, two_on_a_line

from trainwright.federated import Client, Layout
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.feddyn import FedDyn

RATE = 0.1


def test_two_rounds_by_hand() -> None:
    found = two_on_a_line().miniature(FedDyn(alpha=0.5), lr=0.1)
    # A third client, which never takes part.
    found.federation = replace(found.federation, population=3)
    found.run(1)
    # 0 -> 0.1, then gradient -0.9 + 0.5 * 0.1 = -0.85: 0.185; and 0 -> -0.2
    mean = (0.185 - 0.2) / 2
    h = -0.5 * 2 / 3 * mean
    weights = mean - h / 0.5
    kept = (-0.5 * 0.185, 0.5 * 0.2)
    assert found.weights.tolist() == pytest.approx([weights])
    assert float(found.state["h"]) == pytest.approx(h)
    assert float(found.kept[0]["gradient"]) == pytest.approx(kept[0])
    assert float(found.kept[1]["gradient"]) == pytest.approx(kept[1])
    first = weights - 0.1 * (weights - 1 - kept[0])
    first -= 0.1 * (first - 1 - kept[0] + 0.5 * (first - weights))
    second = weights - 0.1 * (2 * (weights + 1) - kept[1])
    mean = (first + second) / 2 - weights
    h -= 0.5 * 2 / 3 * mean
    found.run(1)
    assert found.weights.tolist() == pytest.approx([weights + mean - h / 0.5])
    assert float(found.kept[0]["gradient"]) == pytest.approx(kept[0] - 0.5 * (first - weights))


def test_without_a_pull_it_is_averaging_bit_for_bit() -> None:
    clients = QuadraticClients.drawn((4, 2, 3), (1, 5, 2), dtype=torch.float32)
    methods = (FedDyn(alpha=0), FedAvg("uniform"), FedDyn(alpha=0.1))
    ours, averaged, pulled = (
        clients.miniature(method, lr=RATE, momentum=0.5).run(5) for method in methods
    )
    assert torch.equal(ours.weights, averaged.weights)
    assert not torch.equal(pulled.weights, averaged.weights)
    assert not any(ours.kept.values())
    assert not ours.state


@pytest.mark.parametrize("steps", [(10, 10, 10), (3, 12, 6)])
def test_ends_at_the_optimum_where_averaging_does_not(steps: tuple[int, ...]) -> None:
    clients = QuadraticClients.drawn(num_steps=steps, num_samples=(4, 1, 1))
    optimum, wrong = clients.optimum((1, 1, 1)), clients.limit(RATE, (1, 1, 1))
    assert float((wrong - optimum).norm()) > 0.05
    averaged = clients.miniature(FedAvg("uniform"), lr=RATE).run(30)
    assert torch.allclose(averaged.weights, wrong, atol=1e-6)
    found = clients.miniature(FedDyn(alpha=1.0), lr=RATE).run(50)
    assert torch.allclose(found.weights, optimum, atol=1e-6)
    for client in range(3):
        gradient = clients.curvatures[client] @ (optimum - clients.centres[client])
        assert torch.allclose(found.kept[client]["gradient"], gradient, atol=1e-5)


def test_momentum_ends_at_the_optimum_too() -> None:
    clients = QuadraticClients.drawn(num_steps=(8, 8))
    found = clients.miniature(FedDyn(alpha=1.0), lr=0.05, momentum=0.5).run(60)
    assert torch.allclose(found.weights, clients.optimum((1, 1)), atol=1e-8)


def test_some_clients_at_a_time() -> None:
    clients, cohorts = QuadraticClients.drawn(num_steps=(8, 8, 8)), ([0, 1], [2], [0, 2])
    method = FedDyn(alpha=1.0)
    found = clients.miniature(method, lambda number: cohorts[number % 3], lr=RATE).run(100)
    mean = torch.stack([found.kept[client]["gradient"] for client in range(3)]).mean(0)
    assert torch.allclose(found.state["h"], mean, atol=1e-12)
    assert torch.allclose(found.weights, clients.optimum((1, 1, 1)), atol=1e-6)


def test_clients_side_by_side() -> None:
    gradient, weights, own = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    sent = torch.arange(5.0)
    layout = Layout.of([("model.w", sent)])

    def client(state: torch.Tensor) -> Client:
        return Client(0, 0, 1, 1, RATE, sent, {}, {"gradient": state}, layout)

    together = FedDyn(0.3).gradients(gradient, weights, client(own))
    for row in range(2):
        alone = FedDyn(0.3).gradients(gradient[row], weights[row], client(own[row]))
        assert torch.equal(together[row], alone)


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_wrong_options_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="alpha must be a number of at least 0"):
        FedDyn(value)
