"""How well a number tells two kinds of samples apart."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def auroc(scores: Tensor, positive: Tensor) -> float:
    """How likely a positive sample has a larger score than a negative one; ties count half.

    Args:
        scores: shape (N,).
        positive: bool, shape (N,).

    Returns:
        In [0, 1]; 1/2 where the scores say nothing; NaN where one of the kinds is missing.

    Example:
        >>> auroc(torch.tensor([0.1, 0.4, 0.4]), torch.tensor([False, True, False]))
        0.75
    """
    low, high = scores[~positive], scores[positive].sort().values
    if not len(low) or not len(high):
        return math.nan
    # Counted twice: positive ones below a negative one both times, its equals once.
    below = torch.searchsorted(high, low) + torch.searchsorted(high, low, right=True)
    return 1 - float(below.double().mean()) / (2 * len(high))
