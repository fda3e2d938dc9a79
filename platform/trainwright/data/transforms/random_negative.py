"""Items that a user did not choose, for losses that compare them with chosen ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch

from trainwright.data.table import Column, Kind, Table
from trainwright.data.transforms.protocol import Batch, TransformContext
from trainwright.data.transforms.selection import require_column

_KINDS: tuple[Kind, ...] = ("tokens", "class")


class RandomNegative:
    """Add a column with an item that the row's user did not choose, uniformly at random.

    Chosen are the items of the training split. A sample gets another item in each epoch, in
    evaluation always the same one.
    """

    needs_all_rows: ClassVar[bool] = True

    def __init__(self, user: str = "user", item: str = "item", negative: str = "negative") -> None:
        """Choose the columns.

        Args:
            user: tokens or classes: who chose.
            item: tokens or classes: what was chosen.
            negative: name of the new column.
        """
        self.user = user
        self.item = item
        self.negative = negative
        self._gaps = torch.zeros(0, 0, dtype=torch.int64)

    def bind(self, columns: Mapping[str, Column]) -> None:
        """Look up the columns.

        Raises:
            ValueError: a column is missing or of another kind, or there is one of the new name.
        """
        sizes = [
            require_column(name, columns, _KINDS).num_classes or 0
            for name in (self.user, self.item)
        ]
        if self.negative in columns:
            raise ValueError(f"there is a column {self.negative!r} already")
        self._num_users, self._num_items = sizes

    def fit(self, table: Table) -> None:
        """Note what each user chose.

        Raises:
            ValueError: a user chose every item, so that none is left.
        """
        pairs = torch.stack([table.tensors[n].reshape(-1).long() for n in (self.user, self.item)])
        users, items = torch.unique(pairs, dim=1)
        counts = users.bincount(minlength=self._num_users)
        if int(counts.max()) >= self._num_items:
            raise ValueError(
                f"user {int(counts.argmax())} chose all {self._num_items} items: leave such users "
                "out"
            )
        place = torch.arange(len(users)) - (counts.cumsum(0) - counts)[users]
        # Before the m-th chosen item, counted from 0, lie item - m others; a gap that is never
        # reached fills the rows up.
        self._gaps = torch.full((self._num_users, int(counts.max())), self._num_items)
        self._gaps[users, place] = items - place

    def new_columns(self, columns: Mapping[str, Column]) -> Mapping[str, Column]:
        """The negatives: of the same kind as the items."""
        return {self.negative: columns[self.item]}

    def __call__(self, batch: Batch, context: TransformContext) -> Batch:
        """The batch with a negative for each row."""
        lasting = context if context.training else replace(context, epoch=0)
        gaps = self._gaps[batch[self.user].reshape(-1).long()]
        num_free = self._num_items - (gaps < self._num_items).sum(dim=1)
        number = (lasting.uniform(batch).double() * num_free).long()
        negative = number + (gaps <= number[:, None]).sum(dim=1)
        item = batch[self.item]
        return {**batch, self.negative: negative.to(item.dtype).reshape(item.shape)}

    def state_dict(self) -> dict[str, Any]:
        """What each user chose."""
        return {"gaps": self._gaps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``."""
        self._gaps = state["gaps"]
