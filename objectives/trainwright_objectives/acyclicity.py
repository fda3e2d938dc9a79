"""How far a weighted graph is from having no cycles: three smooth values and their gradients."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from trainwright_objectives.precision import at_least_float32

Acyclicity = Literal["logdet", "exp", "polynomial"]


def acyclicity(size: Tensor, kind: Acyclicity = "logdet", s: float = 1.0) -> Tensor:
    """A value that is 0 without cycles and above 0 with them.

    Args:
        size: of the edges, shape (d, d), at least 0: entry (i, j) belongs to the edge i -> j.
        kind: ``logdet``: -log det(s I - A) + d log s, for A of a spectral radius below s;
            ``exp``: tr(exp(A)) - d; ``polynomial``: tr((I + A / d)^d) - d.
        s: of ``logdet``, above 0.

    Returns:
        A scalar, in float32 for half precision.

    Raises:
        ValueError: the log-determinant is not defined for this graph.

    Example:
        >>> edges = torch.tensor([[0.0, 0.5], [0.0, 0.0]])
        >>> acyclicity(edges).item(), round(acyclicity(edges + edges.T).item(), 6)
        (0.0, 0.287682)
    """
    size = at_least_float32(size)
    d = len(size)
    if kind == "logdet":
        value: Tensor = d * torch.log(size.new_tensor(s)) - torch.linalg.slogdet(_rest(size, s))[1]
        return value
    whole = torch.matrix_exp(size) if kind == "exp" else _series(size, d)
    return whole.trace() - d


def walks(size: Tensor, kind: Acyclicity = "logdet", s: float = 1.0) -> Tensor:
    """The gradient of :func:`acyclicity`, shape (d, d).

    Entry (i, j) adds up, over the directed walks from j to i, the products of the sizes of their
    edges, each walk with a factor above 0 that ``kind`` gives to its length. So it is 0 exactly
    where an edge from i to j would close no cycle.

    Raises:
        ValueError: as :func:`acyclicity`.

    Example:
        >>> walks(torch.tensor([[0.0, 0.5], [0.0, 0.0]])).tolist()
        [[1.0, 0.0], [0.5, 1.0]]
    """
    size = at_least_float32(size)
    if kind == "logdet":
        inverse: Tensor = torch.linalg.inv(_rest(size, s))
        return inverse.T
    return (torch.matrix_exp(size) if kind == "exp" else _series(size, len(size) - 1)).T


def _rest(size: Tensor, s: float) -> Tensor:
    """The matrix s I - A, refused where series of its inverse would not end."""
    radius = float(torch.linalg.eigvals(size.detach()).abs().max())
    if not radius < s:
        raise ValueError(
            f"the spectral radius of the edges must be below {s:g} for logdet, got {radius:.4g}; "
            "exp and polynomial have no such limit"
        )
    return s * torch.eye(len(size), dtype=size.dtype, device=size.device) - size


def _series(size: Tensor, power: int) -> Tensor:
    """The matrix (I + A / d)^power."""
    eye = torch.eye(len(size), dtype=size.dtype, device=size.device)
    found: Tensor = torch.linalg.matrix_power(eye + size / len(size), power)
    return found
