"""Random squares taken out of images."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class Cutout(ColumnTransform):
    """Overwrite a square at a random place of each image; it may stand out over the edge.

    The square's centre is uniform over the image. Image columns of equal size lose the same
    square. Training only.

    Source:
        T. DeVries, G. W. Taylor, "Improved Regularization of Convolutional Neural Networks with
        Cutout", 2017, arXiv 1708.04552.
    """

    training_only: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image",)

    def __init__(
        self,
        size: Annotated[int, Field(gt=0)] = 4,
        value: float = 0.0,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose the square and the columns.

        Args:
            size: height and width of the square in pixels.
            value: what it is filled with.
            columns: default: every image column.
        """
        super().__init__(columns)
        self.size = size
        self.value = value

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with a square of each image overwritten."""
        place = context.uniform(batch, (2,))
        return {**batch, **{n: self._without_square(batch[n], place) for n in self.names}}

    def _without_square(self, images: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[-2:]
        centre = (place * torch.tensor([height, width])).long()
        inside = [
            _covers(torch.arange(pixels), centre[:, axis], self.size)
            for axis, pixels in enumerate((height, width))
        ]
        square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
        return images.masked_fill(square, self.value)


def _covers(line: torch.Tensor, centre: torch.Tensor, size: int) -> torch.Tensor:
    """Which pixels of a line (L,) a square of ``size`` around each centre (B,) covers: (B, L)."""
    first = centre[:, None] - size // 2
    return (line >= first) & (line < first + size)
