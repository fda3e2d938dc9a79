"""Pruning by magnitude: which weights go."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def prune(weight: Tensor, mask: Tensor, rate: float, *, compat_official: bool = False) -> Tensor:
    """The mask without the smallest of the weights that it leaves.

    Of weights of one size the first goes first, so that every worker finds the same mask.

    Args:
        weight: any shape.
        mask: truth values of that shape.
        rate: share of the weights left that goes, in (0, 1); their number is rounded, half to even.
        compat_official: the authors' code, whose cutoff itself goes too: one weight more, and
            all that are of its size.

    Example:
        >>> left = torch.ones(10, dtype=torch.bool)
        >>> prune(torch.arange(1.0, 11.0), left, 0.2).tolist()
        [False, False, True, True, True, True, True, True, True, True]
    """
    places = mask.flatten().nonzero().squeeze(1)
    size = weight.flatten()[places].abs()
    count = round(rate * len(places))
    ordered = size.sort(stable=True)
    gone = ordered.indices[:count]
    if compat_official and len(places):
        cutoff = ordered.values[min(count, len(places) - 1)]
        gone = (size <= cutoff).nonzero().squeeze(1)
    pruned = mask.flatten().clone()
    pruned[places[gone]] = False
    return pruned.view(mask.shape)


def prune_together(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    rate: float,
    *,
    compat_official: bool = False,
) -> dict[str, Tensor]:
    """As ``prune``, of all layers as if they were one."""
    sizes = [mask.numel() for mask in masks.values()]
    weight = torch.cat([weights[name].flatten() for name in masks])
    mask = torch.cat([mask.flatten() for mask in masks.values()])
    pruned = prune(weight, mask, rate, compat_official=compat_official)
    parts = torch.split(pruned, sizes)
    return {name: part.view(masks[name].shape) for name, part in zip(masks, parts, strict=True)}
