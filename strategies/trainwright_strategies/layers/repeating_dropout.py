"""A dropout layer that draws several masks for each sample."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd


class RepeatingDropout(nn.Module):
    """A dropout layer that in training repeats its input, so that each copy gets its own mask.

    (B, ...) becomes (M * B, ...), row ``j * B + i`` being dropout sample j of sample i. In
    evaluation it is the layer it holds.

    Args:
        dropout: the layer to apply to the repeated input; it may work in place, on the copy.
        num_samples: M, at least 1.
    """

    def __init__(self, dropout: _DropoutNd, num_samples: int) -> None:
        super().__init__()
        self.dropout = dropout
        self.num_samples = num_samples

    @property
    def p(self) -> float:
        """The rate; models read it to drop by functional calls."""
        return float(self.dropout.p)

    def forward(self, input: Tensor) -> Tensor:
        """Repeat and drop; the samples are along dimension 0."""
        if self.training and self.num_samples > 1:
            input = input.repeat(self.num_samples, *[1] * (input.dim() - 1))
        dropped: Tensor = self.dropout(input)
        return dropped

    def extra_repr(self) -> str:
        """The number of dropout samples, for ``print(model)``."""
        return f"num_samples={self.num_samples}"
