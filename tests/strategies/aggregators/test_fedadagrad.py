"""FedAdagrad against torch's Adagrad and the paper's equations."""

from __future__ import annotations

import torch

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.fedadagrad import FedAdagrad

TASK = Quadratics(torch.zeros(2, 3), None, [3, 1])
UPDATES = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))


def test_without_memory_it_is_torch_s_adagrad_on_the_negative_update() -> None:
    played = Miniature(FedAdagrad(0.05, tau=0.1), TASK)
    weights = torch.zeros(3, dtype=torch.float64)
    adagrad = torch.optim.Adagrad([weights], lr=0.05, initial_accumulator_value=0.01, eps=0.1)
    for updates in UPDATES:
        played.receive(dict(enumerate(updates)))
        weights.grad = -(0.75 * updates[0].double() + 0.25 * updates[1].double())
        adagrad.step()
        torch.testing.assert_close(played.weights.double(), weights, rtol=1e-5, atol=1e-7)


def test_rounds_with_memory_are_those_of_the_equations() -> None:
    played = Miniature(FedAdagrad(0.05, 0.8, 0.1), TASK)
    weights, mean, square = [0.0] * 3, [0.0] * 3, [0.1**2] * 3
    for updates in UPDATES:
        played.receive(dict(enumerate(updates)))
        for i in range(3):
            update = 0.75 * float(updates[0, i]) + 0.25 * float(updates[1, i])
            mean[i] = 0.8 * mean[i] + 0.2 * update
            square[i] += update * update
            weights[i] += 0.05 * mean[i] / (square[i] ** 0.5 + 0.1)
        torch.testing.assert_close(played.weights, torch.tensor(weights), rtol=1e-5, atol=1e-7)


def test_steady_updates_give_steps_that_shrink_with_the_root_of_the_round() -> None:
    played, before = Miniature(FedAdagrad(0.1, tau=1e-6), TASK), torch.zeros(3)
    for round in range(1, 10):
        played.receive(dict.fromkeys(range(2), torch.tensor([1e-2, 1.0, 1e2])))
        expected = torch.full((3,), 0.1 / round**0.5)
        torch.testing.assert_close(played.weights - before, expected, rtol=1e-3, atol=0)
        before = played.weights
