"""Multilayer perceptron."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class MLP(nn.Module):
    """Fully connected layers on vectors; images are flattened.

    Each hidden layer is linear, batch norm (if any), activation, dropout (if any).
    """

    def __init__(
        self,
        in_features: _Size,
        out_features: _Size,
        hidden: list[_Size] | None = None,
        activation: Literal["relu", "gelu", "silu", "tanh"] = "relu",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        batch_norm: bool = False,
        bias: bool = True,
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            in_features: numbers of one sample; from the data when left out of a job.
            out_features: classes, or values to predict; from the data when left out of a job.
            hidden: widths of the hidden layers; default [64, 64]; [] is a linear model.
            activation: of the hidden layers.
            dropout: probability after each activation.
            batch_norm: normalise before each activation.
            bias: whether the linear layers have biases.
        """
        super().__init__()
        layers: list[nn.Module] = []
        width = in_features
        for size in [64, 64] if hidden is None else hidden:
            layers.append(nn.Linear(width, size, bias=bias))
            if batch_norm:
                layers.append(nn.BatchNorm1d(size))
            layers.append(ACTIVATIONS[activation]())
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, out_features, bias=bias)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for ``x`` of shape (B, *any).

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, last hidden width), the head's input.
        """
        embedding = self.body(x.flatten(1))
        return {"logits": self.head(embedding), "embedding": embedding}
