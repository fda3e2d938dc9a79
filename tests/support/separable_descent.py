"""Descent on separable points by a strategy's own hooks, without a training around them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainwright.strategy import Context, Gradient, Loss
from trainwright_strategies.normalized_lr_gd import NormalizedLrGd
from trainwright_strategies.separation import Separation

Points = NDArray[np.float64]


class Logits:
    """A linear model of one output, its objective and the engine's gradient, in float64."""

    couples = "sample"

    def __init__(self, points: Points) -> None:
        self.x = torch.from_numpy(points)
        self.theta = torch.zeros(points.shape[1], dtype=torch.float64, requires_grad=True)

    def forward(self, batch: Any) -> dict[str, torch.Tensor]:
        return {"logits": batch["x"] @ self.theta}

    def __call__(self, batch: Any, outputs: Any = None) -> Loss:
        signs = 2.0 * batch["target"] - 1.0
        return Loss(nn.functional.softplus(-signs * outputs["logits"]).mean())


def descend(strategy: Any, points: Points, rate: float, limit: int) -> tuple[int, list[Points]]:
    """Run a strategy's own hooks by hand; (updates until separated, weights of each update).

    ``points`` are y_i a_i; every other one is given as -a_i with target 0. Two micro-batches.
    """
    model, probe, context = Logits(points), Separation(), Context(seed=0)
    target = torch.arange(len(points)) % 2
    x = model.x * (2.0 * target - 1.0)[:, None]
    strategy._context = probe._context = context
    path = []
    cuts = [slice(0, len(points) // 3), slice(len(points) // 3, None)]
    for index in range(limit):
        path.append(model.theta.detach().numpy().copy())
        step = SimpleNamespace(index=index, gradients=None)
        strategy.step(step, lambda: None)
        probe.step(step, lambda: None)
        total = torch.zeros_like(model.theta)
        for cut in cuts:
            batch = {"x": x[cut], "target": target[cut]}
            if len(batch["x"]):
                probe.loss(batch, model)
                value = strategy.loss(batch, model).value * len(batch["x"]) / len(x)
                total += torch.autograd.grad(value, model.theta)[0]
        step.gradients = dict(Gradient({"theta": total}))
        probe.gradients(step)
        strategy.gradients(step)
        if probe.solved_after is not None:
            return probe.solved_after, path
        with torch.no_grad():
            model.theta -= rate * step.gradients["theta"]
    return limit, path


def plain() -> NormalizedLrGd:
    return NormalizedLrGd(mode="plain")


def worst_case(n: int) -> Points:
    """y_i a_i of one sample (0.5, -1) of class 1 and n - 1 samples (-0.5, -1) of class -1."""
    return np.array([[0.5, -1.0]] + [[0.5, 1.0]] * (n - 1))


def gaussian_points() -> Points:
    rng = np.random.default_rng(0)
    w = rng.normal(size=6)
    a = rng.normal(size=(30, 6))
    return a * np.sign(a @ w)[:, None]
