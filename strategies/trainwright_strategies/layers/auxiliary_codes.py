"""Codes from features that are used too little, to explain what the others leave over."""

from __future__ import annotations

import torch
from torch import Tensor


def zipf_density(k: float, num_features: int, exponent: float) -> Tensor:
    """The share of tokens that a Zipf law gives to each rank, at most 1, float32 (F,).

    Args:
        k: features per token; what the shares add up to before they are cut off at 1.
        num_features: number of ranks.
        exponent: of the law, at least 0.
    """
    law = torch.arange(1, num_features + 1, dtype=torch.float64) ** -exponent
    return (k * law / law.sum()).clamp(max=1).float()


def shortfall(density: Tensor, wanted: Tensor) -> Tensor:
    """How far each feature stays below its share: ``1 - density / wanted``, in [0, 1]."""
    return (1 - density / wanted).clamp(0, 1)


def auxiliary_codes(affinities: Tensor, need: Tensor, k: int) -> Tensor:
    """The ``k`` largest of ``need * affinities`` in each row; the others are 0.

    Args:
        affinities: shape (B, F), at least 0.
        need: of each feature, in [0, 1]; those with 0 are never chosen.
        k: at most so many in each row.
    """
    weighted = affinities * need.to(affinities.dtype)
    places = weighted.detach().float().topk(min(k, affinities.shape[1]), dim=1).indices
    mask = torch.zeros_like(weighted, dtype=torch.bool).scatter_(1, places, True)
    return weighted * mask


def auxiliary_loss(residual: Tensor, reconstruction: Tensor, need: Tensor) -> Tensor:
    """Mean square of what is left of the residual; 0 where no feature is in need.

    Args:
        residual: inputs minus their reconstruction, shape (B, d); no gradient flows into it.
        reconstruction: of the auxiliary codes, without biases, shape (B, d).
        need: of each feature.
    """
    left = residual.detach().float() - reconstruction.float()
    return left.square().mean() * (need > 0).any()
