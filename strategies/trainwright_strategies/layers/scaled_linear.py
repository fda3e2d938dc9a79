"""Linear layers whose weights are of order one, and are multiplied by a fixed number in use."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ScaledLinear(nn.Linear):
    """A linear layer of ``multiplier * weight``, with weights from N(0, 1) and biases of 0.

    Names and shapes are those of the layer it stands for.

    Args:
        layer: whose sizes, type and device it takes over; its weights are not kept.
        multiplier: of the weight.
    """

    def __init__(self, layer: nn.Linear, multiplier: float) -> None:
        weight = layer.weight
        super().__init__(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            device=weight.device,
            dtype=weight.dtype,
        )
        self.multiplier = multiplier
        nn.init.normal_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.train(layer.training)

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output; the input is multiplied, which is smaller than the weight."""
        return functional.linear(x * self.multiplier, self.weight, self.bias)

    def folded(self) -> nn.Linear:
        """An ordinary linear layer that computes the same."""
        plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        with torch.no_grad():
            plain.weight.copy_(self.weight * self.multiplier)
            if self.bias is not None:
                plain.bias.copy_(self.bias)
        return plain.to(self.weight).train(self.training)

    def extra_repr(self) -> str:
        """Sizes and multiplier, for ``print(model)``."""
        return f"{super().extra_repr()}, multiplier={self.multiplier:.4g}"
