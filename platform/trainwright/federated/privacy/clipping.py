"""A bound on how far a single client can move the sum."""

from __future__ import annotations

import torch
from torch import Tensor


def norms(updates: Tensor) -> Tensor:
    """L2 norms of updates (..., d): float64 of shape (...)."""
    length: Tensor = torch.linalg.vector_norm(updates, dim=-1, dtype=torch.float64)
    return length


def clipped(updates: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """Updates scaled down to an L2 norm of at most ``clip``; shorter ones as they are.

    Args:
        updates: shape (..., d), finite.
        clip: above 0.

    Returns:
        The updates, and which of them were no longer than ``clip``, bool of shape (...).
    """
    length = norms(updates)
    within = length <= clip
    factor = torch.where(within, 1.0, clip / length)
    return updates * factor.to(updates.dtype).unsqueeze(-1), within
