"""Random shifts of images, the usual augmentation of small pictures."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class RandomCrop(ColumnTransform):
    """Pad images with zeros and cut out a window of the former size at a random place.

    All image columns of a sample are shifted alike. Training only.
    """

    training_only: ClassVar[bool] = True
    keeps_fresh: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image",)

    def __init__(
        self,
        padding: Annotated[int, Field(gt=0)] = 4,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose padding and columns.

        Args:
            padding: pixels added on each side; the largest shift in each direction.
            columns: default: every image column.
        """
        super().__init__(columns)
        self.padding = padding

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with shifted images."""
        shift = context.integers(batch, 0, 2 * self.padding + 1, (2,))
        return {**batch, **{n: crop(batch[n], self.padding, shift) for n in self.names}}


def crop(images: torch.Tensor, padding: int, shift: torch.Tensor) -> torch.Tensor:
    """Cut windows out of zero-padded images.

    Args:
        images: (B, C, H, W).
        padding: zeros added on each side.
        shift: (B, 2) int64, row and column of the window's corner, 0 to ``2 * padding``.

    Returns:
        (B, C, H, W).
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (padding, padding, padding, padding))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (B, C, dy, dx, H, W)
    return windows[torch.arange(len(images), device=images.device), :, shift[:, 0], shift[:, 1]]
