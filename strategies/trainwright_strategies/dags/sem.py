"""Structural equation models: random linear ones with samples, and how far a graph is off."""

from __future__ import annotations

import numpy as np
import torch
from torch import Generator

from trainwright_strategies.dags.orders import Matrix


def random_sem(num_nodes: int, edge_probability: float, random: Generator) -> Matrix:
    """Weights of a random acyclic graph: uniform in [0.5, 2] with random signs, nodes shuffled."""
    shape = (num_nodes, num_nodes)
    size = 0.5 + 1.5 * torch.rand(shape, generator=random, dtype=torch.float64)
    sign = 2.0 * (torch.rand(shape, generator=random) < 0.5) - 1
    edges = torch.rand(shape, generator=random) < edge_probability
    weights = torch.triu(size * sign * edges, diagonal=1)
    names = torch.randperm(num_nodes, generator=random)
    found = torch.zeros_like(weights)
    found[names[:, None], names[None, :]] = weights
    return np.asarray(found)


def samples_of(weights: Matrix, num_samples: int, random: Generator) -> Matrix:
    """Samples (num_samples, d) of the linear model with independent standard normal noise."""
    noise = torch.randn(num_samples, len(weights), generator=random, dtype=torch.float64).numpy()
    found: Matrix = np.linalg.solve((np.eye(len(weights)) - weights).T, noise.T).T
    return found


def moments_of(samples: Matrix) -> Matrix:
    """S = X^T X / n of samples (n, d), after their means are taken off."""
    centred = samples - samples.mean(0)
    found: Matrix = centred.T @ centred / len(samples)
    return found


def topological_order(weights: Matrix) -> list[int]:
    """An order of the nodes in which all edges point forward.

    The weakest edges are left out as far as there are cycles.
    """
    left, edges = list(range(len(weights))), np.abs(weights)
    order: list[int] = []
    while left:
        # Without cycles there is always a node into which nothing leads.
        incoming = edges[np.ix_(left, left)].max(axis=0)
        order.append(left.pop(int(incoming.argmin())))
    return order


def hamming_distance(first: Matrix, second: Matrix) -> int:
    """Edges to add, take out or turn round to make one graph (d, d) of the other."""
    differing = (first != 0) != (second != 0)
    return int(np.triu(differing | differing.T).sum())
