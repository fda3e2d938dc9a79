"""Nearest points of sets that hold the variables of both levels."""

from __future__ import annotations

import torch
from scipy.optimize import nnls
from torch import Tensor


def onto_equalities(point: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """The nearest point u with matrix @ u = offset; rows that say the same are allowed.

    Args:
        point: shape (n,).
        matrix: shape (m, n).
        offset: shape (m,).
    """
    inverse: Tensor = torch.linalg.pinv(matrix @ matrix.T, hermitian=True)
    return point - matrix.T @ (inverse @ (matrix @ point - offset))


def onto_halfspaces(point: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """The nearest point u with matrix @ u >= offset: a quadratic programme, solved exactly.

    It is the least distance problem of Lawson and Hanson, which takes nonnegative least squares.

    Args:
        point: shape (n,).
        matrix: shape (m, n).
        offset: shape (m,).

    Raises:
        ValueError: there is no such point.
    """
    missing = offset - matrix @ point
    if not bool((missing > 0).any()):
        return point
    system = torch.cat([matrix.T, missing[None]]).double().cpu().numpy()
    wanted = torch.zeros(len(system), dtype=torch.float64)
    wanted[-1] = 1.0
    weights, distance = nnls(system, wanted.numpy())
    if distance < 1e-12:
        raise ValueError("the half-spaces have no point in common")
    residual = torch.from_numpy(system @ weights) - wanted
    return point + (residual[:-1] / -residual[-1]).to(point)


def onto_cone(length: float, bound: float, rate: float = 1.0) -> tuple[float, float]:
    """The nearest pair with length <= bound, where ``bound`` moves ``rate`` times as easily.

    A vector of that length keeps its direction. With a rate of 1 it is the projection onto the
    second-order cone; others are nearest in (length - l)^2 + (bound - b)^2 / rate.

    Args:
        length: of a vector, at least 0.
        bound: of its length.
        rate: above 0.
    """
    if length <= bound:
        return length, bound
    both = max(0.0, (rate * length + bound) / (1 + rate))
    return both, both
