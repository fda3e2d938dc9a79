"""Zeros in weights: masks in the forward pass, for methods that prune."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize


class Mask(nn.Module):
    """Puts zeros into a weight; what is zero there gets no gradient.

    Attributes:
        mask: what is left of the weight, a buffer of truth values.
    """

    mask: Tensor

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(shape, dtype=torch.bool))

    def forward(self, weight: Tensor) -> Tensor:
        """``weight`` with the zeros."""
        return weight * self.mask

    @property
    def num_left(self) -> int:
        """How many weights are left."""
        return int(self.mask.sum())


def is_linear_map(layer: nn.Module) -> bool:
    """Whether a layer multiplies by a matrix or a kernel: linear and convolutional ones."""
    return isinstance(layer, (nn.Linear, _ConvNd))


def add_masks(model: nn.Module, wanted: Callable[[str, nn.Module], bool]) -> dict[str, Mask]:
    """Put a mask of ones on the ``weight`` of layers of ``model``, in place.

    A weight that several layers share has one mask, which acts in all of them.

    Args:
        model: its other parameters keep their names; a masked weight is then called
            ``<layer>.parametrizations.weight.original``.
        wanted: told a layer and its name, says whether its weight is to have one.

    Returns:
        Name of the layer, the first where they share -> mask.
    """
    masks: dict[str, Mask] = {}
    of_weight: dict[nn.Parameter, Mask] = {}
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        if not isinstance(weight, nn.Parameter) or not weight.requires_grad:
            continue
        if wanted(name, layer) and weight not in of_weight:
            of_weight[weight] = masks[name] = Mask(weight.shape)
    for layer in list(model.modules()):
        mask = of_weight.get(getattr(layer, "weight", None))  # type: ignore[arg-type]
        if mask is not None:
            parametrize.register_parametrization(layer, "weight", mask)
    return masks


def fold_masks(model: nn.Module) -> nn.Module:
    """``model`` with the zeros in its weights and without masks, in place."""
    layers: list[Any] = list(model.modules())
    for layer in layers:
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        if isinstance(layer.parametrizations["weight"][0], Mask):
            parametrize.remove_parametrizations(layer, "weight")
    return model
