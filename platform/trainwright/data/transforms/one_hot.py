"""Class indices as vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field
from torch.nn import functional

from trainwright.data.table import Column
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import require_column


class OneHot:
    """Replace class indices by vectors that are 1 at the class and 0 elsewhere.

    The result is float32 of shape ``(B, num_classes)``, as mean squared error and other losses
    on vectors need it.
    """

    def __init__(
        self,
        column: str = "target",
        num_classes: Annotated[int, Field(gt=0)] | None = None,
    ) -> None:
        """Choose the column.

        Args:
            column: a class column.
            num_classes: length of the vectors; default: the column's number of classes.
        """
        self.column = column
        self.num_classes = num_classes

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the column and its number of classes.

        Raises:
            ValueError: no such class column, or it has more classes than ``num_classes``.
        """
        have = require_column(self.column, columns, ("class",)).num_classes or 0
        if self.num_classes is not None and have > self.num_classes:
            raise ValueError(
                f"column {self.column!r} has {have} classes, num_classes is {self.num_classes}"
            )
        self.num_classes = self.num_classes or have

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with the column as vectors."""
        vectors = functional.one_hot(batch[self.column], self.num_classes or -1).float()
        return {**batch, self.column: vectors}
