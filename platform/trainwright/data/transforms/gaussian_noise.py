"""Additive noise."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class GaussianNoise(ColumnTransform):
    """Add independent normal noise to every element. Training only."""

    training_only: ClassVar[bool] = True
    kinds: tuple[Kind, ...] = ("image", "vector", "value")

    def __init__(
        self,
        std: Annotated[float, Field(ge=0)] = 0.1,
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose strength and columns.

        Args:
            std: standard deviation of the noise, in units of the column.
            columns: default: every image and vector column. A value column has to be named.
        """
        super().__init__(columns)
        self.std = std

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with noise added to the chosen columns."""
        noisy = {
            n: batch[n] + self.std * context.normal(batch, tuple(batch[n].shape[1:]), stream=n)
            for n in self.names
        }
        return {**batch, **noisy}
