"""Random zeros in the input."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class PixelDropout(ColumnTransform):
    """Set random pixels (all channels of each) or vector elements to zero. Training only.

    What stays is not scaled up, unlike in dropout: the model learns to fill gaps.
    """

    training_only: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image", "vector")

    def __init__(
        self,
        p: Annotated[float, Field(ge=0, le=1)] = 0.15,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose probability and columns.

        Args:
            p: probability that a pixel or an element becomes zero.
            columns: default: every image and vector column.
        """
        super().__init__(columns)
        self.p = p

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with zeros in the chosen columns."""
        return {**batch, **{n: self._thinned(batch, n, context) for n in self.names}}

    def _thinned(self, batch: Batch, name: str, context: TransformContext) -> torch.Tensor:
        values = batch[name]
        shape = tuple(values.shape[1:])
        shape = (1, *shape[1:]) if len(shape) == 3 else shape
        gaps = context.uniform(batch, shape, stream=name) < self.p
        return values.masked_fill(gaps, 0.0)
