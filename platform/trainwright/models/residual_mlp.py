"""Fully connected residual network: width and depth as two plain numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from trainwright.models.mlp import ACTIVATIONS

_Size = Annotated[int, Field(gt=0)]


class ResidualMLP(nn.Module):
    """A linear layer, blocks that each add a layer of the activation to their input, a linear head.

    h_1 = W_0 x, h_{l+1} = h_l + W_l phi(h_l) for each block, output W phi(h). Images are
    flattened. For studies of width and depth; without ``skip`` a block replaces its input.
    """

    def __init__(
        self,
        in_features: _Size,
        out_features: _Size,
        width: _Size = 64,
        depth: Annotated[int, Field(ge=0)] = 2,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        skip: bool = True,
        bias: bool = True,
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            in_features: numbers of one sample; from the data when left out of a job.
            out_features: classes, or values to predict; from the data when left out of a job.
            width: of all hidden layers.
            depth: number of blocks.
            activation: in front of every layer but the first.
            skip: whether a block adds to its input.
            bias: whether the linear layers have biases.
        """
        super().__init__()
        self.skip = skip
        self.activation = ACTIVATIONS[activation]()
        self.stem = nn.Linear(in_features, width, bias=bias)
        self.blocks = nn.ModuleList(nn.Linear(width, width, bias=bias) for _ in range(depth))
        self.head = nn.Linear(width, out_features, bias=bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for ``x`` of shape (B, *any).

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, width), the head's input.
        """
        h = self.stem(x.flatten(1))
        for block in self.blocks:
            change = block(self.activation(h))
            h = h + change if self.skip else change
        embedding = self.activation(h)
        return {"logits": self.head(embedding), "embedding": embedding}
