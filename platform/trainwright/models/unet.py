"""U-shaped network from images to images."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

_Size = Annotated[int, Field(gt=0)]


class UNet(nn.Module):
    """Network that says something about each pixel, for segmentation and denoising.

    Pairs of 3 x 3 convolutions, halved and doubled in size ``depth`` times, with shortcuts between
    equal sizes.

    Source:
        O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015, arXiv 1505.04597. Here
        convolutions are padded, so that the output has the input's size, and normalised.
    """

    def __init__(
        self,
        in_channels: _Size,
        out_channels: _Size,
        image_size: _Size | tuple[_Size, _Size] | None = None,
        width: _Size = 16,
        depth: _Size = 2,
        norm: Literal["group", "batch"] = "group",
    ) -> None:
        """Build the layers; weights come from torch's global generator.

        Args:
            in_channels: colour channels; from the data when left out of a job.
            out_channels: classes of a pixel, or channels of an image to predict; from the data
                when left out of a job.
            image_size: pixels, (height, width) if not square; from the data when left out. Only
                checked; any size that ``depth`` halvings divide will do.
            width: channels at full size; doubled at each halving.
            depth: number of halvings.
            norm: group normalises each image alone, so that losses do not depend on the number of
                workers; batch over the images of a worker.

        Raises:
            ValueError: the image cannot be halved ``depth`` times.
        """
        super().__init__()
        self.factor = 2**depth
        if image_size is not None:
            self._check_size(*((image_size,) * 2 if isinstance(image_size, int) else image_size))
        widths = [width * 2**level for level in range(depth + 1)]
        pairs = list(pairwise(widths))
        self.first = _convolutions(in_channels, width, norm)
        self.down = nn.ModuleList(_convolutions(small, large, norm) for small, large in pairs)
        self.up = nn.ModuleList(
            nn.ConvTranspose2d(large, small, 2, stride=2) for small, large in reversed(pairs)
        )
        self.merge = nn.ModuleList(
            _convolutions(2 * small, small, norm) for small, _ in reversed(pairs)
        )
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for images ``x`` of shape (B, C, H, W).

        Returns:
            ``logits`` (B, out_channels, H, W) and ``embedding`` (B, width * 2**depth), the spatial
            mean of the smallest features.

        Raises:
            ValueError: the image cannot be halved ``depth`` times.
        """
        self._check_size(x.shape[-2], x.shape[-1])
        features = self.first(x)
        skipped = []
        for down in self.down:
            skipped.append(features)
            features = down(self.pool(features))
        embedding = features.mean(dim=(2, 3))
        for up, merge in zip(self.up, self.merge, strict=True):
            features = merge(torch.cat([skipped.pop(), up(features)], dim=1))
        return {"logits": self.head(features), "embedding": embedding}

    def _check_size(self, height: int, width: int) -> None:
        if height % self.factor or width % self.factor:
            raise ValueError(
                f"images of {height} x {width} pixels cannot be halved "
                f"{int(math.log2(self.factor))} times: height and width must be multiples of "
                f"{self.factor}; choose a smaller depth, or pad the images"
            )


def _convolutions(in_channels: int, channels: int, norm: str) -> nn.Sequential:
    """Two 3 x 3 convolutions, each normalised and rectified."""
    layers: list[nn.Module] = []
    for size in (in_channels, channels):
        layers.append(nn.Conv2d(size, channels, 3, padding=1, bias=False))
        layers.append(
            nn.BatchNorm2d(channels)
            if norm == "batch"
            else nn.GroupNorm(math.gcd(8, channels), channels)
        )
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
