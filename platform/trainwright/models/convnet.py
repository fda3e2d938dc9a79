"""Small convolutional network."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]


class ConvNet(nn.Module):
    """Three 3 x 3 convolutions with batch norm, spatial mean, dropout, linear head.

    The second and third convolution halve height and width. The only dropout stands before the
    head.
    """

    def __init__(
        self,
        in_channels: _Size,
        out_features: _Size,
        width: _Size = 32,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        batch_norm: bool = True,
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            in_channels: colour channels; from the data when left out of a job.
            out_features: classes, or values to predict; from the data when left out of a job.
            width: channels of the first convolution; the others have twice as many.
            dropout: probability before the head.
            batch_norm: normalise before each activation.
        """
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for size, stride in ((width, 1), (2 * width, 2), (2 * width, 2)):
            layers.append(nn.Conv2d(channels, size, 3, stride, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(size))
            layers.append(nn.ReLU())
            channels = size
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(channels, out_features)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for images ``x`` of shape (B, C, H, W), any size.

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, 2 * width), the spatial mean before
            dropout.
        """
        embedding = self.features(x).mean(dim=(2, 3))
        return {"logits": self.head(self.dropout(embedding)), "embedding": embedding}
