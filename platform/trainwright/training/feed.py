"""The samples of one update on one worker."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainwright.data.order import epoch_order, micro_batches, num_micro_batches, share
from trainwright.data.table import Table
from trainwright.data.transforms import TransformChain
from trainwright.training.timetable import Timetable


@dataclass(frozen=True)
class Update:
    """What one update is made of.

    Attributes:
        index: its number over the whole training, from 0.
        epoch: the phase's epoch it belongs to, from 0.
        size: samples over all workers.
        batches: this worker's micro-batches, on the CPU; equally many on each worker.
        positions: (start, stop) inside the epoch's order, over all workers.
    """

    index: int
    epoch: int
    size: int
    batches: list[dict[str, Tensor]]
    positions: tuple[int, int]


class Feed:
    """Makes the updates of a training table, a pure function of (seed, update).

    Args:
        table: the training samples.
        transforms: applied to each micro-batch, in training mode.
        timetable: the cuts of an epoch into updates.
        seed: the job's seed.
        shuffle: whether epochs are shuffled.
        rank: this worker.
        world_size: number of workers.
        micro_batch_size: most samples per forward; None takes the worker's share whole.
        first: number of the phase's first update.
        epochs: epochs before the phase, whose random numbers are not used again.
    """

    def __init__(
        self,
        table: Table,
        transforms: TransformChain,
        timetable: Timetable,
        *,
        seed: int,
        shuffle: bool = True,
        rank: int = 0,
        world_size: int = 1,
        micro_batch_size: int | None = None,
        first: int = 0,
        epochs: int = 0,
    ) -> None:
        self._table = table
        self._transforms = transforms
        self._timetable = timetable
        self._seed = seed
        self._shuffle = shuffle
        self._rank = rank
        self._world_size = world_size
        self._micro_batch_size = micro_batch_size
        self._first = first
        self._epochs = epochs
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._order_epoch = -1

    def __getitem__(self, index: int) -> Update:
        """The update with number ``index``, from 0."""
        epoch, place = self._timetable.place_of(index - self._first)
        start, stop = self._timetable.updates[place]
        order = self._epoch(epoch)
        low, high = share(start, stop, self._rank, self._world_size)
        num = num_micro_batches(stop - start, self._world_size, self._micro_batch_size)
        drawn = self._epochs + epoch
        batches = [
            self._transforms(self._table.take(torch.from_numpy(order[a:b])), drawn, training=True)
            for a, b in micro_batches(low, high, num)
        ]
        return Update(index, epoch, stop - start, batches, (start, stop))

    def sample_ids(self, update: Update) -> list[int]:
        """The ids of all samples of an update, over all workers, in order."""
        start, stop = update.positions
        rows = torch.from_numpy(self._epoch(update.epoch)[start:stop])
        ids: list[int] = self._table.tensors["sample_id"][rows].tolist()
        return ids

    def _epoch(self, epoch: int) -> npt.NDArray[np.int64]:
        if epoch != self._order_epoch:
            drawn = self._epochs + epoch
            self._order = epoch_order(len(self._table), self._seed, drawn, self._shuffle)
            self._order_epoch = epoch
        return self._order
