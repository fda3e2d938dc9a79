"""Generated samples of a structural equation model: nodes that cause one another."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainwright.data.random import key, normal, uniform
from trainwright.data.table import Table

_HIDDEN = 100


def synthetic_sem(
    num_samples: Annotated[int, Field(gt=0)] = 1000,
    num_nodes: Annotated[int, Field(ge=2)] = 20,
    edges_per_node: Annotated[float, Field(gt=0)] = 4.0,
    relation: Literal["linear", "logistic", "mlp"] = "linear",
    noise: Annotated[float, Field(ge=0)] = 1.0,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Samples of nodes that cause one another by a random graph without cycles.

    Columns ``features``, the nodes in random order, and ``edges`` (num_nodes, num_nodes), the same
    for each sample: True at (i, j) where node i acts on node j. Any two nodes have an edge with
    the same probability; its weights are uniform in [0.5, 2) with random signs.

    Args:
        num_samples: rows.
        num_nodes: length of a sample.
        edges_per_node: mean number of edges of a node, in and out.
        relation: ``linear``: a node is the weighted sum of those that act on it, plus noise;
            ``logistic``: it is 1 with the probability sigmoid of that sum, else 0; ``mlp``: a
            random network of one hidden layer of 100 sigmoids, plus noise.
        noise: standard deviation of the noise on each node.
        seed: decides graph, weights and samples.
    """
    own, nodes = key("sem", seed), torch.arange(num_nodes)
    probability = edges_per_node / (num_nodes - 1)
    edges = (uniform(key(own, "edges"), nodes, (num_nodes,)) < probability).triu(diagonal=1)
    errors = normal(key(own, "noise"), torch.arange(num_samples), (num_nodes,))
    values = torch.zeros(num_samples, num_nodes)
    for node in range(num_nodes):
        parents = edges[:, node].nonzero().flatten()
        if relation == "mlp":
            sums = _network(values[:, parents], parents, key(own, node))
        else:
            sums = _added(values[:, parents], _weights(key(own, node), parents, 1))[:, 0]
        if relation == "logistic":
            drawn = uniform(key(own, "drawn", node), torch.arange(num_samples))
            values[:, node] = (drawn < torch.sigmoid(sums)).float()
        else:
            values[:, node] = sums + noise * errors[:, node]
    shuffled = uniform(key(own, "names"), nodes).argsort()
    graph = edges[shuffled][:, shuffled].expand(num_samples, -1, -1)
    return Table.from_arrays(
        {"features": values[:, shuffled], "edges": graph}, {"features": "vector", "edges": "mask"}
    )


def _weights(own: int, ids: Tensor, width: int) -> Tensor:
    """Numbers (len(ids), width) of a size in [0.5, 2) and random sign."""
    size = 0.5 + 1.5 * uniform(key(own, "size"), ids, (width,))
    return torch.where(uniform(key(own, "sign"), ids, (width,)) < 0.5, size, -size)


def _added(values: Tensor, weights: Tensor) -> Tensor:
    """Rows (n, k) times weights (k, width), added up one by one.

    A matrix product may round differently on another machine.
    """
    total = torch.zeros(len(values), weights.shape[1])
    for column, row in zip(values.T, weights, strict=True):
        total += column[:, None] * row
    return total


def _network(values: Tensor, parents: Tensor, own: int) -> Tensor:
    """A random network of one hidden layer; 0 without parents."""
    if not len(parents):
        return torch.zeros(len(values))
    hidden = torch.sigmoid(_added(values, _weights(key(own, "first"), parents, _HIDDEN)))
    return _added(hidden, _weights(key(own, "second"), torch.arange(_HIDDEN), 1))[:, 0]
