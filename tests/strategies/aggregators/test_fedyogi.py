"""FedYogi against the paper's equations, one number at a time."""

from __future__ import annotations

import math

import torch

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.fedadam import FedAdam
from trainwright_strategies.aggregators.fedyogi import FedYogi

TASK = Quadratics(torch.zeros(2, 3), None, [3, 1])


def test_rounds_are_those_of_the_equations() -> None:
    played = Miniature(FedYogi(0.05, (0.8, 0.95), 0.7), TASK)
    weights, mean, square = [0.0] * 3, [0.0] * 3, [0.7**2] * 3
    signs = set()
    for updates in torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0)):
        played.receive(dict(enumerate(updates)))
        for i in range(3):
            update = 0.75 * float(updates[0, i]) + 0.25 * float(updates[1, i])
            mean[i] = 0.8 * mean[i] + 0.2 * update
            sign = math.copysign(1, square[i] - update**2)
            signs.add(sign)
            square[i] -= 0.05 * update * update * sign
            weights[i] += 0.05 * mean[i] / (square[i] ** 0.5 + 0.7)
        torch.testing.assert_close(played.weights, torch.tensor(weights), rtol=1e-5, atol=1e-7)
    assert signs == {1.0, -1.0}, "both branches are met"


def test_after_a_large_update_the_square_stays_where_adam_s_decays() -> None:
    squares = []
    for aggregator in (FedYogi(tau=1e-3), FedAdam(tau=1e-3)):
        played = Miniature(aggregator, TASK)
        for size in (1.0, *[0.0] * 50):
            played.receive(dict.fromkeys(range(2), torch.full((3,), size)))
        squares.append(float(played.state["square"][0]))
    assert math.isclose(squares[0], 1e-6 + 0.01, rel_tol=1e-9)
    assert math.isclose(squares[1], 0.99**50 * (0.99 * 1e-6 + 0.01), rel_tol=1e-9)


def test_an_update_as_large_as_the_square_leaves_both_alike() -> None:
    found = []
    for aggregator in (FedYogi(tau=0.5), FedAdam(tau=0.5)):
        played = Miniature(aggregator, TASK)
        for sign in (1, -1, -1):
            played.receive(dict.fromkeys(range(2), torch.full((3,), sign * 0.5)))
        found.append(played.weights)
    torch.testing.assert_close(found[0], found[1])
