"""Give every sample another shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from trainwright.data.table import Column, Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class Reshape(ColumnTransform):
    """Reorder the same numbers of a sample into another shape, row by row."""

    kinds: tuple[Kind, ...] = ("image", "vector", "value", "mask")

    def __init__(
        self,
        shape: list[Annotated[int, Field(gt=0)]],
        columns: list[str] | str | None = None,
    ) -> None:
        """Choose shape and columns.

        Args:
            shape: of one sample, e.g. ``[64]`` or ``[1, 8, 8]``.
            columns: default: every image and vector column.
        """
        super().__init__(columns)
        self.shape = tuple(shape)

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the columns.

        Raises:
            ValueError: as for every column transform, or the number of elements differs.
        """
        super().bind(columns)
        for name in self.names:
            have = columns[name].shape
            if math.prod(have) != math.prod(self.shape):
                raise ValueError(
                    f"column {name!r} has {math.prod(have)} elements per sample {list(have)}; "
                    f"shape {list(self.shape)} needs {math.prod(self.shape)}"
                )

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with the chosen columns reshaped."""
        return {**batch, **{n: batch[n].reshape(-1, *self.shape) for n in self.names}}
