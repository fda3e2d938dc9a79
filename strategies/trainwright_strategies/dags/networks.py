"""The nonlinear score of an order: a network for each node, which reads the nodes before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit

from trainwright.procedure import generator
from trainwright_strategies.dags.graphs import Matrix
from trainwright_strategies.dags.scores import Fit

Optimizer = Literal["lbfgs", "adam"]


@dataclass(frozen=True)
class Networks:
    """Half the mean squared residuals of networks of one hidden layer of sigmoids, no biases.

    Node j is predicted by sigmoid(X V_j) w_j, where row i of V_j is 0 unless node i is before it.
    Added is l1_weight |V_j| + (l2_weight / 2) (|V_j|^2 + |w_j|^2). The parameters of a node are
    kept as one matrix (d + 1, hidden), its last row w_j.

    Attributes:
        samples: X, centred, shape (n, d).
        hidden: width of the hidden layer.
        l1_weight: at least 0.
        l2_weight: at least 0.
        optimizer: ``lbfgs`` until nothing changes, at most ``max_iterations``; ``adam`` for all of
            them, at rate 0.01 with betas 0.99 and 0.999.
        max_iterations: of the optimizer.
        seed: decides the first weights.
    """

    samples: Matrix
    hidden: int = 40
    l1_weight: float = 0.01
    l2_weight: float = 0.01
    optimizer: Optimizer = "lbfgs"
    max_iterations: int = 500
    seed: int = 0

    least_gain = 1e-4
    first_helping = True

    @property
    def num_nodes(self) -> int:
        """See ``OrderScore``."""
        return int(self.samples.shape[1])

    def fit(self, node: int, before: Sequence[int], warm: Matrix | None) -> Fit:
        """See ``OrderScore``. Nodes that the network did not read so far start at random."""
        rows = np.asarray(sorted(before), dtype=int)
        first = self._first(node)
        if warm is not None:
            read = np.abs(warm).sum(axis=1, keepdims=True) > 0
            first = np.where(read, warm, first)
        value = partial(self._value, self.samples[:, rows], self.samples[:, node])
        start = _split(first[rows], first[-1])
        found = self._minimised(value, start, 2 * len(rows) * self.hidden)
        inner, outer = _joined(found, len(rows), self.hidden)
        weights = np.zeros((self.num_nodes + 1, self.hidden))
        weights[rows], weights[-1] = inner, outer
        # Parts above and below zero may both be left where the optimizer stops early.
        return Fit(weights, value(_split(inner, outer))[0])

    def adjacency(self, fits: Sequence[Fit]) -> Matrix:
        """The norms of what leads from each node into each network."""
        norms = [np.linalg.norm(fit.weights[:-1], axis=1) for fit in fits]
        return np.stack(norms, axis=1)

    def slope(self, fits: Sequence[Fit]) -> Matrix:
        """The covariance of each node with the residual of each network.

        That is what a linear edge would help. The gradient by the network's own weights says
        nothing where it has become zero.
        """
        outputs = [expit(self.samples @ fit.weights[:-1]) @ fit.weights[-1] for fit in fits]
        return self.samples.T @ (np.stack(outputs, axis=1) - self.samples) / len(self.samples)

    def _first(self, node: int) -> Matrix:
        shape = (self.num_nodes + 1, self.hidden)
        drawn = torch.rand(
            shape, generator=generator(self.seed, "network", node), dtype=torch.float64
        )
        scale = np.full((len(drawn), 1), self.num_nodes**-0.5)
        scale[-1] = self.hidden**-0.5
        first: Matrix = scale * (2 * drawn.numpy() - 1)
        return first

    def _value(self, x: Matrix, y: Matrix, flat: Matrix) -> tuple[float, Matrix]:
        """Score and gradient for the parts above and below zero of V, and w, in one vector."""
        inner, outer = _joined(flat, x.shape[1], self.hidden)
        active = expit(x @ inner)
        rest = active @ outer - y
        n, l1, l2 = len(y), self.l1_weight, self.l2_weight
        norm = flat[: 2 * inner.size].sum()
        squares = np.square(inner).sum() + np.square(outer).sum()
        score = 0.5 * (rest @ rest) / n + l1 * norm + 0.5 * l2 * squares
        back = (rest[:, None] * outer) * (active * (1 - active)) / n
        slope = (x.T @ back + l2 * inner).ravel()
        last = active.T @ rest / n + l2 * outer
        return float(score), np.concatenate([l1 + slope, l1 - slope, last])

    def _minimised(self, value: partial[tuple[float, Matrix]], start: Matrix, bound: int) -> Matrix:
        """The vector at the end; its first ``bound`` entries stay at least 0."""
        if self.optimizer == "lbfgs":
            bounds = [(0.0, None)] * bound + [(None, None)] * (len(start) - bound)
            options = {"maxiter": self.max_iterations, "ftol": 1e-9, "gtol": 1e-6}
            ended = minimize(
                value, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            return np.asarray(ended.x)
        flat = torch.from_numpy(start.copy())
        adam = torch.optim.Adam([flat], lr=0.01, betas=(0.99, 0.999))
        for _ in range(self.max_iterations):
            flat.grad = torch.from_numpy(value(flat.numpy())[1])
            adam.step()
            flat[:bound].clamp_(min=0)
        return flat.numpy()


def _split(inner: Matrix, outer: Matrix) -> Matrix:
    """One vector of parts above zero, parts below zero and outer weights."""
    above, below = inner.clip(min=0), (-inner).clip(min=0)
    return np.concatenate([above.ravel(), below.ravel(), outer])


def _joined(flat: Matrix, rows: int, hidden: int) -> tuple[Matrix, Matrix]:
    """The inverse of :func:`_split`."""
    size = rows * hidden
    inner = flat[:size] - flat[size : 2 * size]
    return inner.reshape(rows, hidden), flat[2 * size :]
