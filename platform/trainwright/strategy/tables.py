"""State of single samples, such as their last loss, that every worker knows alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from trainwright.errors import CheckpointError
from trainwright.strategy.gathering import gather_rows, row_counts

Fold = Literal["last", "sum", "mean", "max", "min", "running"]

_INTO_ROW: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "last": lambda row, value: value,
    "sum": torch.add,
    "mean": torch.add,
    "max": torch.maximum,
    "min": torch.minimum,
}


class SampleTable:
    """One float32 value of a fixed shape for each sample, found by its ``sample_id``.

    ``table[ids]`` reads and ``table.put(ids, values)`` writes. What is put becomes readable on
    all workers at the same moment, once the update is over; until then every worker reads the
    old values. Values put for one sample are folded into its row one after the other, in the
    order of their positions in the global batch:

    - ``last``: the row becomes the last value;
    - ``sum``: every value is added to the row;
    - ``max``, ``min``: the row becomes the largest or smallest of itself and the values (begin
      with ``init`` at minus or plus infinity);
    - ``mean``: the row becomes the mean of the values of one update;
    - ``running``: the row becomes the mean of itself and the value, one value after the other, so
      that the last ones count most; a row that still holds ``init`` becomes its first value.

    Args:
        num_ids: one more than the largest ``sample_id``.
        shape: of one sample's value.
        init: what every row holds at first.
        fold: how values get into their row.
        device: where the values live.
    """

    def __init__(
        self,
        num_ids: int,
        shape: tuple[int, ...] = (),
        init: float = 0.0,
        fold: Fold = "last",
        device: torch.device | None = None,
    ) -> None:
        if fold not in get_args(Fold):
            raise ValueError(f"fold must be one of {', '.join(get_args(Fold))}, got {fold!r}")
        self.values = torch.full((num_ids, *shape), init, dtype=torch.float32, device=device)
        self.shape = tuple(shape)
        self.init = init
        self.fold = fold
        self._ids: list[Tensor] = []
        self._put: list[Tensor] = []

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, ids: Tensor) -> Tensor:
        """The rows of these samples, a copy of shape (len(ids), *shape) on the device of ``ids``.

        Raises:
            IndexError: an id that no training sample has.
        """
        return self.values.index_select(0, ids.to(self.values.device)).to(ids.device)

    def put(self, ids: Tensor, values: Tensor) -> None:
        """Fold ``values`` into the rows of these samples when the update is over.

        Args:
            ids: int64, shape (n,): samples of this worker; n may be 0 and differ between workers.
            values: shape (n, *shape); no gradient is kept.

        Raises:
            ValueError: the shapes do not fit.
        """
        if ids.dim() != 1 or tuple(values.shape) != (len(ids), *self.shape):
            raise ValueError(
                f"values must have shape (number of ids, *{self.shape}), got "
                f"{tuple(values.shape)} for ids of shape {tuple(ids.shape)}"
            )
        device = self.values.device
        self._ids.append(ids.detach().to(device, torch.int64, copy=True))
        self._put.append(values.detach().to(device, torch.float32, copy=True))

    def forget(self) -> None:
        """Drop what this worker has put since the last update."""
        self._ids, self._put = [], []

    def reset(self) -> None:
        """Every row holds ``init`` again, at once; to be called on all workers."""
        self.forget()
        self.values.fill_(self.init)

    def settle(self) -> None:
        """Fold what all workers have put (a collective)."""
        ids = torch.cat([self.values.new_empty(0, dtype=torch.int64), *self._ids])
        put = torch.cat([self.values.new_empty(0, *self.shape), *self._put])
        self.forget()
        counts = row_counts(len(ids), ids.device)
        if sum(counts) == 0:
            return
        self._fold_rows(gather_rows(ids, counts), gather_rows(put, counts))

    def _fold_rows(self, ids: Tensor, put: Tensor) -> None:
        """In rounds: the first value of each sample, then the second... so that order is kept."""
        ids, order = torch.sort(ids, stable=True)
        put, turn = put[order], _turns(ids)
        rounds = int(turn.max()) + 1
        for number in range(rounds):
            now = slice(None) if rounds == 1 else turn == number
            rows, value = ids[now], put[now]
            self.values[rows] = self._folded(self.values[rows], value, number)
        if self.fold == "mean":
            ends = torch.ones_like(ids, dtype=torch.bool)
            ends[:-1] = ids[1:] != ids[:-1]
            self.values[ids[ends]] /= (turn[ends] + 1).reshape(-1, *[1] * len(self.shape))

    def _folded(self, row: Tensor, value: Tensor, number: int) -> Tensor:
        """Rows with one more value each, the ``number``-th of this update."""
        if self.fold == "mean" and number == 0:
            return value
        if self.fold == "running":
            return torch.where(row == self.init, value, (row + value) / 2)
        return _INTO_ROW[self.fold](row, value)


def _turns(ids: Tensor) -> Tensor:
    """How many equal ids stand before each of some sorted ones; [3, 7, 7, 7] -> [0, 0, 1, 2]."""
    place = torch.arange(len(ids), device=ids.device)
    start = place.clone()
    start[1:] *= ids[1:] != ids[:-1]
    return place - start.cummax(0).values


class SampleTables:
    """The tables of a run, by name; part of its checkpoints.

    Args:
        num_ids: one more than the largest ``sample_id`` of the training samples.
        device: where the tables live.
    """

    def __init__(self, num_ids: int, device: torch.device) -> None:
        self._num_ids = num_ids
        self._device = device
        self._tables: dict[str, SampleTable] = {}
        self._restored: dict[str, Tensor] = {}

    def get(self, name: str, shape: tuple[int, ...], init: float, fold: Fold) -> SampleTable:
        """The table of that name, made at the first question.

        Raises:
            ValueError: it was made before with another shape, first value or fold.
            CheckpointError: the checkpoint holds one of another shape.
        """
        table = self._tables.get(name)
        if table is None:
            table = SampleTable(self._num_ids, shape, init, fold, self._device)
            self._take_restored(name, table)
            self._tables[name] = table
        elif (table.shape, table.init, table.fold) != (tuple(shape), init, fold):
            raise ValueError(
                f"table {name!r} exists with shape {table.shape}, init {table.init} and fold "
                f"{table.fold!r}; asked for {tuple(shape)}, {init} and {fold!r}"
            )
        return table

    def forget(self) -> None:
        """Drop what was put into every table since the last update."""
        for table in self._tables.values():
            table.forget()

    def settle(self) -> None:
        """Fold into every table what all workers have put (a collective if there are tables)."""
        for name in sorted(self._tables):
            self._tables[name].settle()

    def state_dict(self) -> dict[str, Any]:
        """The values by table; also of those restored and not asked for yet."""
        return {**self._restored, **{name: t.values for name, t in self._tables.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``, for tables that exist and for those made later."""
        self._restored = dict(state)
        for name, table in self._tables.items():
            self._take_restored(name, table)

    def _take_restored(self, name: str, table: SampleTable) -> None:
        values = self._restored.pop(name, None)
        if values is None:
            return
        if values.shape != table.values.shape:
            raise CheckpointError(
                f"table {name!r} has shape {list(values.shape)} in the checkpoint and "
                f"{list(table.values.shape)} here: other data, or another strategy"
            )
        table.values.copy_(values)
