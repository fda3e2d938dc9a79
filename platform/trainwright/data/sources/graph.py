"""Small real graphs that come with networkx, as tables."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field

from trainwright.data.random import bits, key
from trainwright.data.table import Table

Name = Literal["karate_club", "davis_southern_women", "florentine_families", "les_miserables"]
_Array = npt.NDArray[np.float64]
_LABELS = {"karate_club": "club", "davis_southern_women": "bipartite"}
"""Graph -> the node attribute that is its label; the other graphs have none."""


def graph_nodes(graph: Name = "karate_club", hops: Annotated[int, Field(ge=0)] = 0) -> Table:
    """The nodes of a social network, each with its row of the adjacency matrix.

    Columns ``features`` (number of nodes,) and, where the graph has labels, ``target``. Graphs:
    karate_club (34 members, 78 ties weighted by contexts of contact, two clubs after the split;
    Zachary, 1977), davis_southern_women (18 women and 14 events, 89 attendances, woman or event;
    Davis, Gardner and Gardner, 1941), florentine_families (15 families, 20 marriages, no labels;
    Breiger and Pattison, 1986), les_miserables (77 characters, 254 ties weighted by common
    chapters, no labels; Knuth, 1993).

    All rows show edges to all nodes, those held out included: learning is transductive.

    Args:
        graph: which one.
        hops: 0 gives the weighted adjacency matrix; k gives the k-th power of
            D^(-1/2) (A + I) D^(-1/2), with which a linear model is the simplified graph
            convolution of Wu and others, 2019, arXiv 1902.07153, on nodes without features.
    """
    network = _load(graph)
    rows = _adjacency(network) if hops == 0 else propagation(_adjacency(network), hops)
    arrays: dict[str, Any] = {"features": rows.astype(np.float32)}
    attribute = _LABELS.get(graph)
    if attribute is None:
        return Table.from_arrays(arrays, {"features": "vector"})
    values = [network.nodes[node][attribute] for node in network]
    names = sorted(set(values))
    arrays["target"] = np.array([names.index(value) for value in values])
    labels = ["woman", "event"] if attribute == "bipartite" else [str(name) for name in names]
    return Table.from_arrays(
        arrays, {"features": "vector", "target": "class"}, labels={"target": labels}
    )


def graph_links(graph: Name = "les_miserables", seed: Annotated[int, Field(ge=0)] = 0) -> Table:
    """The edges of a social network and as many pairs without an edge, for link prediction.

    Columns ``node_1`` and ``node_2`` (tokens of shape (1,), a node's number) and ``target``, 1.0
    for an edge and 0.0 for none, of shape (1,). Nothing else is given: features taken from the
    graph would tell the edges that are held out. In davis_southern_women the pairs without an edge
    are of a woman and an event, too. The graphs are those of ``graph_nodes``.

    Args:
        graph: which one.
        seed: decides which pairs without an edge are taken.
    """
    matrix = _adjacency(_load(graph)) > 0
    possible = np.triu(np.ones_like(matrix), k=1)
    if graph == "davis_southern_women":
        side = np.array([d["bipartite"] for _, d in _load(graph).nodes(data=True)])
        possible &= side[:, None] != side[None, :]
    edges = np.argwhere(possible & matrix)
    others = np.argwhere(possible & ~matrix)
    hashes = bits(key("links", graph, seed), torch.arange(len(others))).numpy()
    pairs = np.concatenate([edges, others[np.sort(np.argsort(hashes)[: len(edges)])]])
    is_edge = np.arange(len(pairs)) < len(edges)
    table = Table.from_arrays(
        {"node_1": pairs[:, :1], "node_2": pairs[:, 1:], "target": is_edge},
        {"node_1": "tokens", "node_2": "tokens", "target": "value"},
    )
    return table.with_classes({"node_1": len(matrix), "node_2": len(matrix)})


def propagation(adjacency: _Array, hops: int) -> _Array:
    """The ``hops``-th power of the adjacency matrix with loops, normalised on both sides."""
    looped = adjacency + np.eye(len(adjacency))
    scale = looped.sum(axis=1) ** -0.5
    step = scale[:, None] * looped * scale
    return np.linalg.matrix_power(step, hops)


def _adjacency(network: Any) -> _Array:
    """Weights of the edges, float64 of shape (nodes, nodes), nodes in the graph's own order."""
    import networkx

    matrix: _Array = networkx.to_numpy_array(network, weight="weight", dtype=np.float64)
    return matrix


def _load(name: Name) -> Any:
    """The graph, from networkx: torch brings it along, but it takes long to import."""
    import networkx

    return getattr(networkx, f"{name}_graph")()
