"""Support vector machines with a cost for each sample, as the lower level of a problem."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from trainwright_strategies.bilevel.problem import Point, Problem
from trainwright_strategies.bilevel.projections import onto_halfspaces

_MOST_STEPS = 200


@dataclass(frozen=True)
class Samples:
    """Samples of two classes.

    Attributes:
        features: float64 of shape (n, d).
        signs: float64 of shape (n,), -1 or 1.
    """

    features: Tensor
    signs: Tensor

    def margins(self, machine: Tensor) -> Tensor:
        """How far each sample is on its side; ``machine`` begins with w (d,) and b."""
        d = self.features.shape[1]
        return self.signs * (self.features @ machine[:d] + machine[d])

    def loss(self, machine: Tensor) -> Tensor:
        """The mean logistic loss."""
        return functional.softplus(-self.margins(machine)).mean()

    def accuracy(self, machine: Tensor) -> Tensor:
        """The share on the right side."""
        return (self.margins(machine) > 0).double().mean()


def constraint_matrix(train: Samples) -> Tensor:
    """A of A (w, b, xi) >= 1: each sample's margin and its slack."""
    signs = train.signs[:, None]
    return torch.cat([signs * train.features, signs, torch.eye(len(signs)).to(signs)], dim=1)


def svm_problem(
    train: Samples, held: Samples, lowest: float, highest: float, rate: float
) -> Problem:
    """Costs exp(x_i) of training samples above, the machine y = (w, b, xi) that has them below.

    F is the logistic loss of held-out samples, f = |w|^2 / 2 + sum of exp(x_i) xi_i^2 / 2, and
    g_i = (1 - xi_i - margin_i) / s, where s, the norm of their Jacobian, brings its own to 1.

    Args:
        train: samples of the lower level.
        held: samples of the upper level.
        lowest: least x_i.
        highest: largest x_i.
        rate: step of x as a multiple of that of y.
    """
    d = train.features.shape[1]
    matrix = constraint_matrix(train)
    ones, scale = torch.ones_like(train.signs), torch.linalg.matrix_norm(matrix, 2)
    return Problem(
        upper=lambda x, y: held.loss(y),
        lower=lambda x, y: (y[:d].square().sum() + (x.exp() * y[d + 1 :].square()).sum()) / 2,
        constraint=lambda x, y: (ones - matrix @ y) / scale,
        project=lambda x, y: (x.clamp(lowest, highest), onto_halfspaces(y, matrix, ones)),
        rate=rate,
    )


def solved(train: Samples, costs: Tensor) -> Tensor:
    """The machine (w, b, xi) for these costs, by Newton's method on w and b.

    Raises:
        RuntimeError: it does not come to rest.
    """
    inputs = torch.cat([train.features, torch.ones_like(train.signs)[:, None]], dim=1)
    decay = torch.ones(inputs.shape[1]).to(inputs)
    decay[-1] = 0.0
    machine = torch.zeros_like(decay)
    for _ in range(_MOST_STEPS):
        slack = (1 - train.margins(machine)).clamp(min=0.0)
        gradient = decay * machine - inputs.T @ (costs * train.signs * slack)
        if gradient.norm() < 1e-10 * (1 + costs.sum()):
            return torch.cat([machine, slack])
        active = costs * (slack > 0)
        hessian = (inputs.T * active) @ inputs + torch.diag(decay)
        machine = _descended(train, costs, decay, machine, torch.linalg.pinv(hessian) @ gradient)
    raise RuntimeError(f"the machine does not come to rest in {_MOST_STEPS} steps")


def _descended(
    train: Samples, costs: Tensor, decay: Tensor, machine: Tensor, direction: Tensor
) -> Tensor:
    """The machine after a step that is halved until its objective does not rise."""

    def objective(at: Tensor) -> float:
        slack = (1 - train.margins(at)).clamp(min=0.0)
        return float((decay * at.square()).sum() + (costs * slack.square()).sum()) / 2

    before, size = objective(machine), 1.0
    while objective(machine - size * direction) > before and size > 1e-8:
        size /= 2
    return machine - size * direction


def start_of(problem: Problem, train: Samples, costs: Tensor) -> Point:
    """The machine for these log costs, with the multipliers that belong to it."""
    machine = solved(train, costs.exp())
    slack = machine[train.features.shape[1] + 1 :]
    scale = torch.linalg.matrix_norm(constraint_matrix(train), 2)
    return problem.start(costs, machine, costs.exp() * slack * scale)
