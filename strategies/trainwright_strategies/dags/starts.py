"""Where searches over orders begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trainwright.procedure import TrainedRun, generator
from trainwright_strategies.dags.graphs import Matrix, topological_order
from trainwright_strategies.dags.search import Search, SwapSearch
from trainwright_strategies.outputs import output_of


@dataclass(frozen=True)
class RandomStarts:
    """Searches from random orders; it can travel to another process.

    Attributes:
        seed: decides the orders.
        search: from each of them.
    """

    seed: int
    search: SwapSearch

    def order(self, number: int) -> list[int]:
        """The random order of this number."""
        random = generator(self.seed, "order", number)
        return [int(node) for node in torch.randperm(self.search.score.num_nodes, generator=random)]

    def __call__(self, numbers: Sequence[int]) -> dict[str, Any]:
        """The best search of those with these numbers, and what all of them took."""
        every = [self.search(self.order(number)) for number in numbers]
        best = min(every, key=lambda one: one.score)
        return {**ended(best), "evaluations": sum(one.evaluations for one in every)}


def ended(search: Search) -> dict[str, Any]:
    """A search that has ended, as values that can be recorded."""
    return {
        "order": search.order,
        "scores": search.scores,
        "evaluations": search.evaluations,
        "weights": search.weights,
    }


def by_variance(samples: Matrix) -> list[int]:
    """The nodes by increasing variance."""
    return [int(node) for node in np.argsort(samples.var(axis=0), kind="stable")]


def of_run(run: TrainedRun, output: str) -> list[int]:
    """The order of the weights that a trained model gives.

    Raises:
        ValueError: it gives no weights of a graph.
    """
    batch = next(run.batches("train", 1))
    with torch.no_grad():
        weights = output_of(run.forward(batch), output)
    if weights.dim() != 3 or weights.shape[1] != weights.shape[2]:
        shape = list(weights.shape)
        raise ValueError(f"the output {output!r} must have shape (B, d, d), got {shape}")
    return topological_order(weights[0].double().numpy())


def of_file(path: str) -> list[int]:
    """The order of the weights (d, d) in a file of numpy.

    Raises:
        ValueError: it holds something else.
    """
    weights = np.load(path, allow_pickle=False)
    if weights.ndim != 2 or len(set(weights.shape)) != 1 or not np.isfinite(weights).all():
        raise ValueError(f"{path} must hold numbers of shape (d, d), got {list(weights.shape)}")
    return topological_order(weights.astype(np.float64))
