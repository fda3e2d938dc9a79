"""A matrix that differs from 1 by as many outer products as there are samples."""

from __future__ import annotations

import torch
from torch import Tensor


class Shrink:
    """``A = 1 + H^T diag(c) H`` of width d, by which others are multiplied and divided.

    With fewer samples than half the width, A is not multiplied out: products then cost
    O(B d) for each row instead of O(d^2).

    Args:
        samples: H, shape (B, d).
        factors: c, shape (B,).
    """

    def __init__(self, samples: Tensor, factors: Tensor) -> None:
        self._samples = samples
        self._scaled = samples * factors[:, None]
        self._change: Tensor | None = None  # A - 1
        if 2 * len(samples) > samples.shape[1]:
            self._change = samples.T @ self._scaled

    def times(self, matrix: Tensor) -> Tensor:
        """``M A``, of a matrix (n, d) or a vector (d,)."""
        if self._change is not None:
            return matrix + matrix @ self._change
        return matrix + (matrix @ self._samples.T) @ self._scaled

    def around(self, symmetric: Tensor) -> Tensor:
        """``A M A`` of a symmetric matrix (d, d)."""
        if self._change is not None:
            left = symmetric @ self._change
            half = left + self._change @ left / 2
        else:
            inner = self._samples @ symmetric
            inner += (inner @ self._scaled.T) @ self._samples / 2
            half = inner.T @ self._scaled
        return symmetric + half + half.T

    def divide(self, inverse: Tensor) -> Tensor | None:
        """``A^-1 M`` of a matrix (d, d); None if A is multiplied out, or singular."""
        if self._change is not None:
            return None
        small = self._scaled @ self._samples.T
        small.diagonal().add_(1)
        part, failed = torch.linalg.solve_ex(small, self._scaled @ inverse)
        return None if failed else torch.addmm(inverse, self._samples.T, part, alpha=-1)
