"""Residual network for small images."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

_Size = Annotated[int, Field(gt=0)]


class ResNet(nn.Module):
    """The residual network for CIFAR: three groups of blocks of width w, 2w and 4w.

    Shortcuts have no parameters (option A). Depth 20 and width 16 have 0.27 million weights.

    Source:
        K. He, X. Zhang, S. Ren, J. Sun, "Deep Residual Learning for Image Recognition", CVPR 2016,
        arXiv 1512.03385, section 4.2.
    """

    def __init__(
        self,
        in_channels: _Size,
        out_features: _Size,
        depth: _Size = 20,
        width: _Size = 16,
    ) -> None:
        """Build the layers; weights come from torch's global generator (He initialisation).

        Args:
            in_channels: colour channels; from the data when left out of a job.
            out_features: classes, or values to predict; from the data when left out of a job.
            depth: number of weighted layers: 8, 14, 20, 26, 32... (6n + 2).
            width: channels of the first group.

        Raises:
            ValueError: no such depth.
        """
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"depth must be 6n + 2 (8, 14, 20, 26, 32, 44, 56...), got {depth}")
        blocks: list[nn.Module] = []
        channels = width
        for group in range(3):
            for index in range((depth - 2) // 6):
                stride = 2 if group > 0 and index == 0 else 1
                blocks.append(ResidualBlock(channels, width * 2**group, stride))
                channels = width * 2**group
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, out_features)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for images ``x`` of shape (B, C, H, W), any size.

        Returns:
            ``logits`` (B, out_features) and ``embedding`` (B, 4 * width), the spatial mean.
        """
        features = self.blocks(functional.relu(self.norm(self.stem(x))))
        embedding = features.mean(dim=(2, 3))
        return {"logits": self.head(embedding), "embedding": embedding}


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, added to their input."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        """Build the block; with ``stride`` 2 it halves height and width."""
        super().__init__()
        self.stride = stride
        self.new_channels = channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, channels, H / stride, W / stride), rounded up."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        # Option A: skip pixels and fill the new channels with zeros.
        shortcut = functional.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels)
        )
        return functional.relu(y + shortcut)
