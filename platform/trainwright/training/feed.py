"""The samples of one update on one worker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from trainwright.data.groups import group_shares, group_updates
from trainwright.data.order import micro_batches, num_micro_batches, share
from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.strategy.order import SAMPLE_WEIGHT, Order
from trainwright.training.orders import Orders
from trainwright.training.timetable import Timetable

Span = tuple[int, int]
"""First position in an epoch's order, and the one after the last."""


@dataclass(frozen=True)
class Counts:
    """What the terms of an objective average over in one update.

    Attributes:
        own: by each of this worker's micro-batches, float64, shape (micro-batches, terms).
        total: over all workers, shape (terms,); waits for the others.
    """

    own: Tensor
    total: Callable[[], Tensor]


@dataclass(frozen=True)
class Update:
    """What one update is made of.

    Attributes:
        index: its number over the whole training, from 0.
        epoch: the phase's epoch it belongs to, from 0.
        size: samples over all workers.
        batches: this worker's micro-batches; equally many on each worker.
        positions: (start, stop) inside the epoch's order, over all workers.
        counts: what losses average over, where the feed knows it.
    """

    index: int
    epoch: int
    size: int
    batches: list[dict[str, Tensor]]
    positions: Span
    counts: Counts | None = None


class Feed(Protocol):
    """Gives the updates of training."""

    def __getitem__(self, index: int) -> Update:
        """The update with number ``index``, from 0, as far as this worker computes it."""
        ...

    def sample_ids(self, index: int) -> list[int]:
        """The ids of all samples of an update, over all workers, in order."""
        ...

    def close(self) -> None:
        """End threads and let go of memory; it may be asked for updates again afterwards."""
        ...


class TableFeed:
    """Makes the updates of a table, a pure function of the orders and the update's number.

    Args:
        table: the training samples.
        transforms: applied to each micro-batch.
        timetable: the cuts of an epoch into updates.
        orders: the order of each epoch.
        rank: this worker.
        world_size: number of workers.
        micro_batch_size: most samples per forward; None takes the worker's share whole.
        first: number of the phase's first update.
        epochs: epochs before the phase, whose random numbers are not used again.
        training: whether transforms are those of training.
    """

    def __init__(
        self,
        table: Table,
        transforms: TransformChain,
        timetable: Timetable,
        *,
        orders: Orders,
        rank: int = 0,
        world_size: int = 1,
        micro_batch_size: int | None = None,
        first: int = 0,
        epochs: int = 0,
        training: bool = True,
    ) -> None:
        self._table = table
        self._transforms = transforms
        self._timetable = timetable
        self._orders = orders
        self._rank = rank
        self._world_size = world_size
        self._micro_batch_size = micro_batch_size
        self._first = first
        self._epochs = epochs
        self._training = training
        self._cuts: dict[int, list[Span]] = {}  # of updates of a size; nearly all have the same

    def __getitem__(self, index: int) -> Update:
        """The update with number ``index``, from 0."""
        epoch, order, (start, stop), parts = self._place(index)
        batches = [self._batch(order, epoch, a, b) for a, b in parts]
        return Update(index, epoch, stop - start, batches, (start, stop))

    def sample_ids(self, index: int) -> list[int]:
        """The ids of all samples of an update, over all workers, in order."""
        _, order, (start, stop), _ = self._place(index)
        ids: list[int] = order.sample_ids[order.indices[start:stop]].tolist()
        return ids

    def close(self) -> None:
        """Nothing is held."""

    def _place(self, index: int) -> tuple[int, Order, Span, list[Span]]:
        """Epoch of an update, the epoch's order, where it lies in it, and this worker's parts."""
        epoch, place = self._timetable.place_of(index - self._first)
        order = self._orders(self._table, epoch, self._epochs + epoch)
        return epoch, order, *self._share(place)

    def _share(self, place: int) -> tuple[Span, list[Span]]:
        """Where an update of the present epoch lies in the order, and this worker's part of it."""
        updates, world, size = self._timetable.updates, self._world_size, self._micro_batch_size
        bounds = self._orders.bounds
        if bounds is not None:
            cuts = group_updates(bounds, updates, self._timetable.cut_for)
            shares = group_shares(bounds, cuts[place], world, size)
            return (shares[0][0][0], shares[-1][-1][1]), shares[self._rank]
        start, stop = updates[place]
        length = stop - start
        if length not in self._cuts:
            num = num_micro_batches(length, world, size)
            self._cuts[length] = micro_batches(*share(0, length, self._rank, world), num)
        return (start, stop), [(start + a, start + b) for a, b in self._cuts[length]]

    def _batch(self, order: Order, epoch: int, start: int, stop: int) -> dict[str, Tensor]:
        batch = self._table.take_rows(order.indices[start:stop])
        batch = self._transforms(batch, self._epochs + epoch, self._training, fresh=True)
        if order.weights is not None:
            batch[SAMPLE_WEIGHT] = torch.from_numpy(order.weights[start:stop].copy())
        return batch
