"""From token sequences to what a language model learns from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from trainwright.data.table import IGNORED, Column
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import require_column


class NextToken:
    """Add the column of following tokens, which a language model predicts.

    Of tokens (T,) the first T - 1 stay, and the last T - 1 become the target. With a mask column
    (``tokens_mask``, as files give it) padding is no target: it becomes -100, which losses and
    metrics of tokens leave out.
    """

    def __init__(self, column: str = "tokens", target: str = "target") -> None:
        """Choose the columns.

        Args:
            column: a tokens column; its mask, if there is one, is called ``<column>_mask``.
            target: name of the new column.
        """
        self.column = column
        self.target = target
        self.mask: str | None = None

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the columns.

        Raises:
            ValueError: no such tokens column, sequences of one token, or ``target`` is taken.
        """
        length = require_column(self.column, columns, ("tokens",)).shape[0]
        if length < 2:
            raise ValueError(f"column {self.column!r} has sequences of one token: nothing follows")
        if self.target in columns:
            raise ValueError(f"there is a column {self.target!r} already; choose another target")
        self.mask = f"{self.column}_mask" if f"{self.column}_mask" in columns else None

    def new_columns(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """The target: tokens of the same vocabulary."""
        column = columns[self.column]
        return {self.target: replace(column, shape=(column.shape[0] - 1,))}

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with shortened sequences and their target."""
        tokens = batch[self.column]
        result = {**batch, self.column: tokens[:, :-1], self.target: tokens[:, 1:]}
        if self.mask is not None:
            mask = batch[self.mask]
            result[self.mask] = mask[:, :-1]
            result[self.target] = tokens[:, 1:].masked_fill(~mask[:, 1:], IGNORED)
        return result
