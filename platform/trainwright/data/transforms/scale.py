"""Multiply and shift by fixed numbers."""

from __future__ import annotations

from typing import ClassVar

import torch

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class Scale(ColumnTransform):
    """Replace x by ``x * factor + offset``; for example 0..255 by ``factor: 0.00392156863``."""

    keeps_fresh: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image", "vector", "value")

    def __init__(
        self,
        factor: float = 1.0,
        offset: float = 0.0,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose numbers and columns.

        Args:
            factor: multiplied first.
            offset: added afterwards.
            columns: default: every image and vector column. A value column has to be named.
        """
        super().__init__(columns)
        self.factor = factor
        self.offset = offset

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with the chosen columns scaled."""
        multiply = torch.Tensor.mul_ if context.fresh else torch.Tensor.mul
        scaled = {n: multiply(batch[n], self.factor).add_(self.offset) for n in self.names}
        return {**batch, **scaled}
