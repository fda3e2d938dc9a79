"""Graphs as matrices (d, d), entry (i, j) for the edge i -> j: their order, how they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


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


def hamming_distance(first: Any, second: Any) -> int:
    """Edges to add, take out or turn round to make one graph of the other, arrays or tensors."""
    differing = (first != 0) != (second != 0)
    return int((differing | differing.T).sum()) // 2
