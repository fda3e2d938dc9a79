"""FedAdam against the paper's equations, one number at a time."""

from __future__ import annotations

import torch

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.fedadam import FedAdam

UPDATES = torch.randn(7, 2, 3, generator=torch.Generator().manual_seed(0))
"""Of seven rounds, two clients, three weights."""


def test_rounds_are_those_of_the_equations() -> None:
    played = Miniature(
        FedAdam(0.05, (0.8, 0.95), 0.01), Quadratics(torch.zeros(2, 3), None, [3, 1])
    )
    weights, mean, square = [0.0] * 3, [0.0] * 3, [0.01**2] * 3
    for updates in UPDATES:
        played.receive(dict(enumerate(updates)))
        for i in range(3):
            update = 0.75 * float(updates[0, i]) + 0.25 * float(updates[1, i])
            mean[i] = 0.8 * mean[i] + 0.2 * update
            square[i] = 0.95 * square[i] + 0.05 * update * update
            weights[i] += 0.05 * mean[i] / (square[i] ** 0.5 + 0.01)
        torch.testing.assert_close(played.weights, torch.tensor(weights), rtol=1e-5, atol=1e-7)
    kept = torch.tensor([mean, square], dtype=torch.float64)
    torch.testing.assert_close(
        torch.stack([played.state["mean"], played.state["square"]]), kept, rtol=1e-12, atol=0
    )


def test_but_for_the_corrected_bias_it_is_torch_s_adam() -> None:
    """With betas whose powers have vanished both agree: the last of many steady rounds."""
    update = torch.tensor([0.5, -2.0, 1.0])
    played = Miniature(FedAdam(0.05, (0.5, 0.6), 1e-3), Quadratics(torch.zeros(2, 3)))
    weights = torch.zeros(3, dtype=torch.float64)
    adam = torch.optim.Adam([weights], lr=0.05, betas=(0.5, 0.6), eps=1e-3)
    for round in range(80):
        if round == 79:
            before, mine = weights.clone(), played.weights.double()
        played.receive(dict.fromkeys(range(2), update))
        weights.grad = -update.double()
        adam.step()
    moved = played.weights.double() - mine
    torch.testing.assert_close(moved, weights - before, rtol=1e-4, atol=0)
