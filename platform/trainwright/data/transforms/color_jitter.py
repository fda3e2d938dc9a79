"""Random changes of brightness, contrast and saturation."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform

_Strength = Annotated[float, Field(ge=0)]
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue look


class ColorJitter(ColumnTransform):
    """Change brightness, then contrast, then saturation of images by random factors.

    A strength s draws a factor from [max(0, 1 - s), 1 + s] for each sample; all image columns of
    a sample change alike. Numbers may leave the images' former range. Training only.
    """

    training_only: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image",)

    def __init__(
        self,
        brightness: _Strength = 0.4,
        contrast: _Strength = 0.4,
        saturation: _Strength = 0.0,
        p: Annotated[float, Field(ge=0, le=1)] = 1.0,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose strengths, probability and columns.

        Args:
            brightness: of the factor that multiplies the image.
            contrast: of the factor that multiplies the distance from the image's mean.
            saturation: of the factor that multiplies the distance from grey; changes images of
                three channels only.
            p: probability that a sample is changed.
            columns: default: every image column.
        """
        super().__init__(columns)
        self.strengths = (brightness, contrast, saturation)
        self.p = p

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with changed images."""
        low = torch.tensor([max(0.0, 1.0 - s) for s in self.strengths])
        high = torch.tensor([1.0 + s for s in self.strengths])
        factors = low + (high - low) * context.uniform(batch, (3,))
        chosen = context.uniform(batch, stream="chosen") < self.p
        factors = torch.where(chosen[:, None], factors, torch.ones(()))
        return {**batch, **{n: jitter(batch[n], factors) for n in self.names}}


def jitter(images: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Scale brightness, contrast and saturation.

    Args:
        images: (B, C, H, W).
        factors: (B, 3), for brightness, contrast and saturation; 1 changes nothing.

    Returns:
        (B, C, H, W).
    """
    brightness, contrast, saturation = (f[:, None, None, None] for f in factors.unbind(dim=1))
    images = images * brightness
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.where(contrast == 1, images, mean + contrast * (images - mean))
    if images.shape[1] != 3:
        return images
    weights = torch.tensor(_LUMA, device=images.device)[:, None, None]
    grey = (images * weights).sum(dim=1, keepdim=True)
    return torch.where(saturation == 1, images, grey + saturation * (images - grey))
