"""Means over what is left of each coordinate once its extreme values are cut off."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def inner_mean(stack: Tensor, cut: int) -> Tensor:
    """The mean of each coordinate without its ``cut`` smallest and ``cut`` largest values.

    Args:
        stack: shape (clients, d), float32.
        cut: at least 0 and below half of the clients.

    Returns:
        Shape (d,), float64.
    """
    # On (100, 100000) numpy sorts by columns in 0.04 s, torch in 0.67 s, on one core.
    ordered = np.sort(stack.numpy(), axis=0)
    return torch.from_numpy(ordered[cut : len(ordered) - cut].mean(axis=0, dtype=np.float64))
