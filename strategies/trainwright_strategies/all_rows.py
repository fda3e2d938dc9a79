"""Rows that the workers have measured, also where some of them have none."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from trainwright.strategy import Context


def all_rows(context: Context, parts: Sequence[Tensor]) -> Tensor:
    """The rows of all workers' batches, the same on each worker (a collective).

    Args:
        context: of the strategy.
        parts: of this worker's batches, none or many; each of shape (B, C).

    Returns:
        float64, shape (number of all rows, C).
    """
    device = context.device
    # A worker without a batch of its own learns from the others how wide a row is.
    widest = torch.tensor([[parts[0].shape[1] if parts else 0]], device=device)
    width = int(context.gather(widest).max())
    none = torch.zeros(0, width, dtype=torch.float64, device=device)
    return context.gather(torch.cat([none, *parts]))
