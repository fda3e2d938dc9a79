"""Weights of a layer pruned by magnitude, or rounded to few values."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright_strategies.layers.magnitude import prune


def kept(values: Tensor, count: int) -> Tensor:
    """Truth values, false at the ``count`` smallest values, of equals at the first."""
    return prune(values, torch.ones_like(values, dtype=torch.bool), count / values.numel())


def pruned(weight: Tensor, count: int) -> Tensor:
    """The weight with its ``count`` smallest values set to zero."""
    return weight * kept(weight, count)


def steps_of(rows: Tensor, bits: int) -> Tensor:
    """Distance between the values to which each row is rounded, shape (rows, 1)."""
    if bits == 1:
        return rows.abs().mean(1, keepdim=True)
    steps = rows.abs().amax(1, keepdim=True) / _largest(bits)
    return steps.clamp_min(torch.finfo(rows.dtype).tiny)


def nearest(rows: Tensor, steps: Tensor, bits: int) -> Tensor:
    """The nearest of ``2^bits - 1`` values for each row, symmetric around 0; with 1 bit the sign.

    Args:
        rows: shape (rows, any).
        steps: see :func:`steps_of`.
        bits: at least 1.
    """
    if bits == 1:
        return rows.sign() * steps
    return (rows / steps).round().clamp(-_largest(bits), _largest(bits)) * steps


def _largest(bits: int) -> int:
    return (1 << (bits - 1)) - 1


def quantized(weight: Tensor, bits: int) -> Tensor:
    """Each row rounded to the nearest of ``2^bits - 1`` values, symmetric around 0.

    With 1 bit the sign times the row's mean size.
    """
    rows = weight.flatten(1)
    return nearest(rows, steps_of(rows, bits), bits).view_as(weight)
