"""A feed that knows beforehand over how much each loss of an update is averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial

import torch
from torch import Tensor

from trainwright.collectives import begin_sum_over_workers
from trainwright.engine.base import Engine
from trainwright.objective import WeightedSum
from trainwright.training.feed import Counts, Feed, Update
from trainwright.training.timetable import Timetable

MOST_UPDATES_AHEAD = 16
MOST_BYTES_AHEAD = 2**24


class CountedFeed:
    """Gives the updates of another feed with their :class:`Counts`.

    A sum over the workers for each update would cost a small language model on two workers a
    twentieth of its time. So the updates of a group are made one after the other, and what they
    count is added up at once, while the first of them is computed. A group ends with its epoch,
    whose successor's order may depend on it; how long the next one is says worker 0 with the sums
    of this one, so that all workers agree.

    Args:
        feed: the updates.
        terms: the objective's terms, which count.
        timetable: the cuts of an epoch into updates.
        engine: places batches on its device, where they are counted.
        first: number of the phase's first update.
    """

    def __init__(
        self,
        feed: Feed,
        terms: WeightedSum,
        timetable: Timetable,
        engine: Engine,
        first: int = 0,
    ) -> None:
        self._feed = feed
        self._terms = terms
        self._timetable = timetable
        self._engine = engine
        self._first = first
        self._made: dict[int, Update] = {}
        self._length: Callable[[], int] = lambda: 1

    def __getitem__(self, index: int) -> Update:
        """The update with number ``index``, from 0; a collective where a group begins."""
        if index not in self._made:
            self._begin(index)
        return self._made.pop(index)

    def sample_ids(self, index: int) -> list[int]:
        """The ids of all samples of an update, over all workers, in order."""
        return self._feed.sample_ids(index)

    def close(self) -> None:
        """End threads and let go of memory; it may be asked for updates again afterwards."""
        self._made = {}
        self._feed.close()

    def _begin(self, index: int) -> None:
        done = index - self._first
        _, place = self._timetable.place_of(done)
        left = min(self._timetable.steps_per_epoch - place, self._timetable.total_steps - done)
        updates = [self._placed(self._feed[index + i]) for i in range(min(self._length(), left))]
        own = [torch.stack([self._terms.count(b) for b in u.batches]) for u in updates]
        settings = self._engine.settings
        wish = torch.tensor([_length_for(updates[0]) if settings.rank == 0 else 0])
        flat = torch.cat([wish.double(), *(counts.sum(dim=0) for counts in own)])
        sums = cache(begin_sum_over_workers(flat, settings.device))
        self._length = lambda: int(sums()[0])
        self._made = {
            update.index: replace(update, counts=Counts(counts, partial(_row, sums, i, len(own))))
            for i, (update, counts) in enumerate(zip(updates, own, strict=True))
        }

    def _placed(self, update: Update) -> Update:
        return replace(update, batches=[self._engine.place(batch) for batch in update.batches])


def _row(sums: Callable[[], Tensor], position: int, number: int) -> Tensor:
    """The counts of one of the updates of a group, whose wish comes first."""
    return sums()[1:].view(number, -1)[position]


def _length_for(update: Update) -> int:
    """How many such updates are worth their memory."""
    size = sum(column.nbytes for batch in update.batches for column in batch.values())
    return max(1, min(MOST_UPDATES_AHEAD, MOST_BYTES_AHEAD // max(size, 1)))
