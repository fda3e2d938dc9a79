"""Random mirror images."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class RandomFlip(ColumnTransform):
    """Mirror images at random; all image columns of a sample alike. Training only."""

    training_only: ClassVar[bool] = True
    keeps_fresh: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image",)

    def __init__(
        self,
        p: Annotated[float, Field(ge=0, le=1)] = 0.5,
        direction: Literal["horizontal", "vertical"] = "horizontal",
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose probability, direction and columns.

        Args:
            p: probability that a sample is mirrored.
            direction: horizontal swaps left and right.
            columns: default: every image column.
        """
        super().__init__(columns)
        self.p = p
        self.dim = -1 if direction == "horizontal" else -2

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with some images mirrored."""
        chosen = (context.uniform(batch) < self.p)[:, None, None, None]
        flipped = {n: torch.where(chosen, batch[n].flip(self.dim), batch[n]) for n in self.names}
        return {**batch, **flipped}
