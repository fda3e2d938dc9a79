"""The samples of one update on one worker, from a streamed table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from trainwright.data.order import micro_batches, num_micro_batches
from trainwright.data.transforms import TransformChain
from trainwright.training.feed import Span, Update
from trainwright.training.timetable import Timetable

if TYPE_CHECKING:
    from trainwright.data.streaming.ahead import ReadAhead
    from trainwright.data.streaming.order import StreamOrder
    from trainwright.data.streaming.table import StreamedTable


class StreamedFeed:
    """Makes the updates of a streamed table, a pure function of the order and the update's number.

    An update consists of the positions that it would have of any table; this worker computes those
    of its own shards among them. Updates are asked for one after another; the first one, and one
    out of turn, waits until its window is read.

    Args:
        table: the training samples.
        transforms: applied to each micro-batch.
        timetable: the cuts of an epoch into updates.
        order: the order of each epoch.
        rank: this worker.
        world_size: number of workers, which divides the shards.
        micro_batch_size: most samples per forward; None takes the worker's share whole.
        first: number of the phase's first update.
        epochs: epochs before the phase, whose random numbers are not used again.
        training: whether transforms are those of training.
    """

    def __init__(
        self,
        table: StreamedTable,
        transforms: TransformChain,
        timetable: Timetable,
        *,
        order: StreamOrder,
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
        self._order = order
        self._rank = rank
        self._world_size = world_size
        self._micro_batch_size = micro_batch_size
        self._first = first
        self._epochs = epochs
        self._training = training
        self._ahead: ReadAhead | None = None

    def __getitem__(self, index: int) -> Update:
        """The update with number ``index``, from 0, as far as this worker computes it.

        Raises:
            DataError: its samples cannot be read, or are not as declared.
        """
        epoch, (start, stop) = self._span(index)
        low, high = self._own(start), self._own(stop)
        num = num_micro_batches(stop - start, self._world_size, self._micro_batch_size)
        batches = [self._batch(epoch, a, b) for a, b in micro_batches(low, high, num)]
        return Update(index, epoch, stop - start, batches, (start, stop))

    def sample_ids(self, index: int) -> list[int]:
        """The ids of all samples of an update, over all workers, in order."""
        epoch, (start, stop) = self._span(index)
        rows = self._order.rows(self._epochs + epoch, start, stop)
        ids: list[int] = self._table.ids(rows).tolist()
        return ids

    def close(self) -> None:
        """End threads and let go of memory; it may be asked for updates again afterwards."""
        if self._ahead is not None:
            self._ahead.close()
        self._ahead = None

    def _span(self, index: int) -> tuple[int, Span]:
        """The phase's epoch of an update, and its positions in it."""
        epoch, place = self._timetable.place_of(index - self._first)
        return epoch, self._timetable.updates[place]

    def _own(self, position: int) -> int:
        """How many positions of this worker come before ``position``."""
        return -(-(position - self._rank) // self._world_size) if position > self._rank else 0

    def _batch(self, epoch: int, start: int, stop: int) -> dict[str, Tensor]:
        if self._ahead is None:
            last = self._epochs + -(-self._timetable.total_steps // self._timetable.steps_per_epoch)
            self._ahead = self._table.read_ahead(self._order, self._rank, self._world_size, last)
        drawn = self._epochs + epoch
        rows = self._ahead.take(drawn, start, stop)
        return self._transforms(rows, drawn, self._training, fresh=True)
