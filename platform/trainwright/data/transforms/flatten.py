"""Make every sample one-dimensional."""

from __future__ import annotations

from trainwright.data.table import Kind
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import ColumnTransform


class Flatten(ColumnTransform):
    """Turn images or other shaped columns into vectors: ``(B, *shape)`` to ``(B, numel)``."""

    kinds: tuple[Kind, ...] = ("image", "vector", "value", "mask")

    def __init__(self, columns: list[str] | str | None = None) -> None:
        """Choose the columns.

        Args:
            columns: default: every image and vector column.
        """
        super().__init__(columns)

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with the chosen columns flattened."""
        return {**batch, **{n: batch[n].flatten(1) for n in self.names}}
