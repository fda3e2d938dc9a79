"""Linear scores of an order: the best weights of each node from those before it, and their cost."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch

from trainwright_objectives.sem_scores import node_losses, score_gradient, steepest
from trainwright_strategies.dags.graphs import Matrix


class Fit(NamedTuple):
    """What was fitted to one node.

    Attributes:
        weights: its parameters; of linear scores one for each node, shape (d,).
        score: what the node adds to the score.
    """

    weights: Matrix
    score: float


class OrderScore(Protocol):
    """A score that is a sum over the nodes, each fitted to the nodes before it in an order."""

    @property
    def num_nodes(self) -> int:
        """How many nodes there are, d."""
        ...

    @property
    def least_gain(self) -> float:
        """The share of itself by which a score must fall to be lower.

        So neither ties nor what solvers leave over go round in circles.
        """
        ...

    @property
    def first_helping(self) -> bool:
        """Whether the first pair that lowers the score is taken, rather than the best ones."""
        ...

    def fit(self, node: int, before: Sequence[int], warm: Matrix | None) -> Fit:
        """The best parameters of ``node``, from what was fitted to it in another order."""
        ...

    def adjacency(self, fits: Sequence[Fit]) -> Matrix:
        """The weights of the graph (d, d), from the fits of all nodes."""
        ...

    def slope(self, fits: Sequence[Fit]) -> Matrix:
        """How much each edge (d, d) would help, up to its sign, from the fits of all nodes."""
        ...


class Linear(ABC):
    """What both linear scores have in common."""

    first_helping = False

    def adjacency(self, fits: Sequence[Fit]) -> Matrix:
        """See :class:`OrderScore`."""
        return np.stack([fit.weights for fit in fits], axis=1)

    def slope(self, fits: Sequence[Fit]) -> Matrix:
        """See :class:`OrderScore`."""
        return self.gradient(self.adjacency(fits))

    @abstractmethod
    def gradient(self, weights: Matrix) -> Matrix:
        """The gradient of the score of any weights (d, d); with an L1 term the shortest."""


@dataclass(frozen=True)
class LeastSquares(Linear):
    """Half the mean squared residuals of all nodes, plus ``l1_weight`` times the L1 norm.

    Attributes:
        moments: S = X^T X / n of centred samples (n, d), all that it sees of the data.
        l1_weight: at least 0.
    """

    moments: Matrix
    l1_weight: float = 0.0

    @property
    def num_nodes(self) -> int:
        """See :class:`OrderScore`."""
        return len(self.moments)

    @property
    def least_gain(self) -> float:
        """See :class:`OrderScore`: the lasso is solved by iteration."""
        return 1e-8 if self.l1_weight else 1e-12

    def fit(self, node: int, before: Sequence[int], warm: Matrix | None) -> Fit:
        """See :class:`OrderScore`. With fewer samples than nodes, the weights of smallest norm."""
        found = np.zeros(self.num_nodes)
        rows = np.asarray(sorted(before), dtype=int)
        among, target = self.moments[np.ix_(rows, rows)], self.moments[rows, node]
        if self.l1_weight:
            start = np.zeros(len(rows)) if warm is None else warm[rows]
            weights = lasso(among, target, self.l1_weight, start)
        else:
            weights = np.linalg.lstsq(among, target, rcond=None)[0]
        found[rows] = weights
        explained = weights @ (2 * target - among @ weights)
        penalty = self.l1_weight * np.abs(weights).sum()
        return Fit(found, float(0.5 * (self.moments[node, node] - explained) + penalty))

    def gradient(self, weights: Matrix) -> Matrix:
        """See :class:`Linear`."""
        return _steepest(weights, self.moments @ weights - self.moments, self.l1_weight)


@dataclass(frozen=True)
class Logistic(Linear):
    """The mean logistic loss of all nodes, plus ``l1_weight`` times the L1 norm; no intercepts.

    Attributes:
        samples: X, each 0 or 1, shape (n, d).
        l1_weight: above 0, or the weights of samples that a plane separates have no bound.
    """

    samples: Matrix
    l1_weight: float
    least_gain = 1e-8

    @property
    def num_nodes(self) -> int:
        """See :class:`OrderScore`."""
        return int(self.samples.shape[1])

    def fit(self, node: int, before: Sequence[int], warm: Matrix | None) -> Fit:
        """See :class:`OrderScore`: Newton's method, each step a lasso."""
        found = np.zeros(self.num_nodes)
        rows = np.asarray(sorted(before), dtype=int)
        x, y = self.samples[:, rows], self.samples[:, node]
        weights = np.zeros(len(rows)) if warm is None else warm[rows]
        score = self._score(x, y, weights)
        for _ in range(100):
            said = 1 / (1 + np.exp(-(x @ weights)))
            curve = x.T @ ((said * (1 - said))[:, None] * x) / len(x)
            target = curve @ weights - x.T @ (said - y) / len(x)
            step = lasso(curve, target, self.l1_weight, weights) - weights
            length = 1.0
            while (after := self._score(x, y, weights + length * step)) > score and length > 1e-6:
                length /= 2
            if not after < score:
                break
            weights, score = weights + length * step, after
        found[rows] = weights
        return Fit(found, score)

    def _score(self, x: Matrix, y: Matrix, weights: Matrix) -> float:
        logits = torch.from_numpy(x @ weights)
        loss = float(node_losses(logits, torch.from_numpy(y), "logistic").mean())
        return loss + self.l1_weight * float(np.abs(weights).sum())

    def gradient(self, weights: Matrix) -> Matrix:
        """See :class:`Linear`."""
        x = torch.from_numpy(self.samples)
        gradient = score_gradient(torch.from_numpy(weights), x, "logistic").numpy() / len(x)
        return _steepest(weights, gradient, self.l1_weight)


def _steepest(weights: Matrix, gradient: Matrix, l1_weight: float) -> Matrix:
    found = steepest(torch.from_numpy(weights), torch.from_numpy(gradient), l1_weight)
    return np.asarray(found)


def lasso(among: Matrix, target: Matrix, l1_weight: float, start: Matrix) -> Matrix:
    """The minimiser of 0.5 w^T A w - t^T w + l1_weight |w|, one weight after the other.

    Args:
        among: A, positive semidefinite, shape (k, k).
        target: t, shape (k,).
        l1_weight: above 0.
        start: first weights, shape (k,).
    """
    weights = start.copy()
    rest = target - among @ weights
    curve = np.diag(among)
    scale = np.abs(target).max(initial=l1_weight)
    for _ in range(10_000):
        largest = 0.0
        for k in np.flatnonzero(curve > 0):
            pull = rest[k] + curve[k] * weights[k]
            best = np.sign(pull) * max(abs(pull) - l1_weight, 0.0) / curve[k]
            if (change := best - weights[k]) != 0:
                weights[k] = best
                rest -= change * among[:, k]
                largest = max(largest, abs(change) * curve[k])
        if largest <= 1e-11 * scale:
            break
    return weights


def moments_of(samples: Matrix) -> Matrix:
    """S = X^T X / n of samples (n, d), after their means are taken off."""
    centred = samples - samples.mean(0)
    found: Matrix = centred.T @ centred / len(samples)
    return found
