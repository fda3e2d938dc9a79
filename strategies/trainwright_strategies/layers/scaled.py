"""Layers whose weights are of order one, and are multiplied by a fixed number in use."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

Layer = nn.Linear | nn.Conv2d
"""A layer that multiplies by a matrix or a kernel."""

_FORM = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv2d: (
        *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation"),
        *("groups", "padding_mode"),
    ),
}


def _form(layer: Layer) -> dict[str, Any]:
    """What an ordinary layer of the same form is made with."""
    kind = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
    weight = layer.weight
    return {
        **{name: getattr(layer, name) for name in _FORM[kind]},
        "bias": layer.bias is not None,
        "device": weight.device,
        "dtype": weight.dtype,
    }


class _Scaled(nn.Module):
    """A layer of ``multiplier * weight``, with weights from N(0, 1) and biases of 0.

    Names and shapes are those of the layer it stands for.

    Args:
        layer: whose form, type and device it takes over; its weights are not kept.
        multiplier: of the weight.
    """

    def __init__(self, layer: Layer, multiplier: float) -> None:
        super().__init__(**_form(layer))
        self.multiplier = multiplier
        for name, parameter in self.named_parameters():
            nn.init.normal_(parameter) if name == "weight" else nn.init.zeros_(parameter)
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; the input is multiplied, which is smaller than the weight."""
        output: Tensor = super().forward(x * self.multiplier)
        return output

    def extra_repr(self) -> str:
        """Form and multiplier, for ``print(model)``."""
        return f"{super().extra_repr()}, multiplier={self.multiplier:.4g}"


class ScaledLinear(_Scaled, nn.Linear):
    """A linear layer of ``multiplier * weight``.

    Attributes:
        first: how many of its outputs have a further factor, and which.
    """

    first: tuple[int, float] = (0, 1.0)

    def scale_first(self, number: int, factor: float) -> None:
        """Multiply the first outputs by a further factor."""
        self.first = number, factor

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, the first numbers of it with their factor."""
        output = super().forward(x)
        number, factor = self.first
        if factor == 1:
            return output
        return torch.cat([factor * output[..., :number], output[..., number:]], dim=-1)


class ScaledConv2d(_Scaled, nn.Conv2d):
    """A convolution of ``multiplier * weight``."""


def scaled(layer: Layer, multiplier: float) -> ScaledLinear | ScaledConv2d:
    """The layer that is to stand in the place of ``layer``, with weights of its own."""
    if isinstance(layer, nn.Linear):
        return ScaledLinear(layer, multiplier)
    return ScaledConv2d(layer, multiplier)


@torch.no_grad()
def folded(layer: ScaledLinear | ScaledConv2d) -> Layer:
    """An ordinary layer that computes the same."""
    kind: type[Layer] = nn.Linear if isinstance(layer, nn.Linear) else nn.Conv2d
    plain = kind(**_form(layer))
    plain.weight.copy_(layer.weight * layer.multiplier)
    if plain.bias is not None and layer.bias is not None:
        plain.bias.copy_(layer.bias)
    if isinstance(layer, ScaledLinear):
        number, factor = layer.first
        for parameter in plain.parameters():
            parameter[:number] *= factor
    return plain.train(layer.training)
