"""SCAFFOLD: worked rounds, its limits, and the optimum that averaging misses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from quadratic_clients import QuadraticClients, two_on_a_line

from trainwright.federated import Aggregator, Client, Federation, Layout
from trainwright.testing import Miniature
from trainwright_strategies.aggregators.fedavg import FedAvg
from trainwright_strategies.aggregators.scaffold import Scaffold

UNLIKE = QuadraticClients.drawn(num_steps=(4, 4, 4))
SINGLE = replace(UNLIKE, dtype=torch.float32)
RATE = 0.1


def control(miniature: Miniature, client: int | None = None) -> torch.Tensor:
    """The control of a client, or of the server."""
    return (miniature.state if client is None else miniature.kept[client])["control"]


def test_two_rounds_by_hand() -> None:
    found = two_on_a_line().miniature(Scaffold(server_lr=0.5), lr=0.1).run(1)
    # Without controls: 0 -> 0.1 -> 0.19 by gradients -1, -0.9; and 0 -> -0.2 by gradient 2.
    assert found.weights.tolist() == pytest.approx([0.5 * (0.19 - 0.2) / 2])
    assert float(control(found, 0)) == pytest.approx(-0.95)
    assert float(control(found, 1)) == pytest.approx(2.0)
    assert float(control(found)) == pytest.approx(0.525)
    # From -0.0025, with c - c_0 = 1.475 and c - c_1 = -1.475: steps along -1.0025 + 1.475 =
    # 0.4725 and 0.9 * -1.0025 - 0.1 * 1.475 + 1.475 = 0.42525; and along 1.995 - 1.475 = 0.52.
    found.run(1)
    mean = (-0.1 * (0.4725 + 0.42525) - 0.1 * 0.52) / 2
    assert found.weights.tolist() == pytest.approx([-0.0025 + 0.5 * mean])
    first, second = -1.475 + (0.4725 + 0.42525) / 2, 1.475 + 0.52
    assert float(control(found, 0)) == pytest.approx(first)
    assert float(control(found, 1)) == pytest.approx(second)
    assert float(control(found)) == pytest.approx((first + second) / 2)


def test_first_round_is_averaging_bit_for_bit() -> None:
    ours, averaged = (SINGLE.miniature(a, lr=RATE) for a in (Scaffold(), FedAvg("uniform")))
    assert torch.equal(ours.run(1).weights, averaged.run(1).weights)
    assert not torch.equal(ours.run(1).weights, averaged.run(1).weights)


def test_one_client_is_plain_descent_bit_for_bit() -> None:
    alone = QuadraticClients.drawn(num_steps=(3,), dtype=torch.float32)
    ours, plain = (alone.miniature(a, lr=RATE).run(6) for a in (Scaffold(), Aggregator()))
    assert torch.equal(ours.weights, plain.weights)


def test_ends_at_the_optimum_where_averaging_does_not() -> None:
    optimum, wrong = UNLIKE.optimum((1, 1, 1)), UNLIKE.limit(RATE, (1, 1, 1))
    assert float((wrong - optimum).norm()) > 0.01
    averaged = UNLIKE.miniature(FedAvg("uniform"), lr=RATE).run(40)
    assert torch.allclose(averaged.weights, wrong, atol=1e-9)
    found = UNLIKE.miniature(Scaffold(), lr=RATE).run(50)
    assert torch.allclose(found.weights, optimum, atol=1e-9)


def test_unlike_numbers_of_steps_and_samples_do_not_move_the_optimum() -> None:
    clients = QuadraticClients.drawn(num_steps=(1, 5, 3), num_samples=(9, 1, 1))
    found = clients.miniature(Scaffold(), lr=RATE).run(70)
    assert torch.allclose(found.weights, clients.optimum((1, 1, 1)), atol=1e-8)


def test_weight_decay_is_part_of_the_loss() -> None:
    clients = QuadraticClients.drawn(num_steps=(4, 4))
    found = clients.miniature(Scaffold(), lr=RATE, weight_decay=0.3).run(50)
    decay = 0.3 * torch.eye(3, dtype=torch.float64)
    right = (clients.curvatures @ clients.centres[:, :, None]).sum(0)
    expected = torch.linalg.solve((clients.curvatures + decay).sum(0), right)[:, 0]
    assert torch.allclose(found.weights, expected, atol=1e-8)


def test_some_clients_at_a_time() -> None:
    cohorts = ([0, 1], [2], [0, 2])
    found = UNLIKE.miniature(Scaffold(), lambda number: cohorts[number % 3], lr=RATE).run(120)
    mean = torch.stack([control(found, client) for client in range(3)]).mean(0)
    assert torch.allclose(control(found), mean, atol=1e-12)
    assert torch.allclose(found.weights, UNLIKE.optimum((1, 1, 1)), atol=1e-8)


def test_controls_are_mean_gradients_of_the_last_round() -> None:
    clients = QuadraticClients.drawn(num_steps=(5, 2))
    found = clients.miniature(Scaffold(), lr=RATE).run(2)
    sent, server = found.weights, control(found)
    before = [control(found, client) for client in range(2)]
    found.run(1)
    for number, steps in enumerate(clients.num_steps):
        weights, gradients = sent, []
        for _ in range(steps):
            gradients.append(clients.curvatures[number] @ (weights - clients.centres[number]))
            weights = weights - RATE * (gradients[-1] - before[number] + server)
        mean = torch.stack(gradients).mean(0)
        assert torch.allclose(control(found, number), mean, atol=1e-12)


def test_a_rate_of_zero_leaves_weights_and_controls() -> None:
    found = SINGLE.miniature(Scaffold(), lr=RATE).run(2)
    weights, before = found.weights, [control(found, client) for client in range(3)]
    found.federation = replace(found.federation, options={"lr": 0.0})
    assert torch.equal(found.run(1).weights, weights)
    assert all(torch.equal(control(found, client), before[client]) for client in range(3))


def test_clients_side_by_side() -> None:
    gradient, weights, own = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    shared = {"control": torch.arange(5.0)}
    layout = Layout.of([("model.w", weights[0])])

    def client(state: torch.Tensor) -> Client:
        return Client(0, 0, 1, 1, RATE, weights[0], shared, {"control": state}, layout)

    together = Scaffold().gradients(gradient, weights, client(own))
    for row in range(2):
        alone = Scaffold().gradients(gradient[row], weights[row], client(own[row]))
        assert torch.equal(together[row], alone)


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        ("adamw", {"lr": 0.1}, "got adamw"),
        ("sgd", {"lr": 0.1, "momentum": 0.9}, r"got momentum: 0\.9"),
        ("sgd", {"maximize": True}, "got maximize: True"),
    ],
)
def test_other_steps_are_refused(optimizer: str, options: dict[str, Any], message: str) -> None:
    federation = Federation(2, 2, 1, Layout(()), optimizer, options)
    with pytest.raises(ValueError, match=rf"plain SGD tell, {message}: use the optimizer {{name"):
        Scaffold().check(federation)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_options_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="server_lr must be a number above 0"):
        Scaffold(value)
