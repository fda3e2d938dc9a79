"""The rows of a window as one worker computes them, put together from row groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import torch

from trainwright.data.hashes import Ints
from trainwright.data.streaming.keeping import Kept
from trainwright.data.streaming.layout import Group
from trainwright.data.streaming.order import Run, StreamOrder
from trainwright.data.streaming.reading import GroupReader, Tensors, joined


class KeptGroups:
    """Row groups decoded; those of the last window are kept, for the next one needs most.

    Args:
        reader: of the source.
        groups: of the table, in its order.
        keep: how they are kept: in memory or on disk.
        num_readers: how many are read at a time.
    """

    def __init__(
        self,
        reader: GroupReader,
        groups: Sequence[Group],
        keep: Callable[[Tensors], Kept],
        num_readers: int,
    ) -> None:
        self.reader = reader
        self._groups = groups
        self._keep = keep
        self._kept: dict[int, Kept] = {}
        self._pool = ThreadPoolExecutor(num_readers, "row groups")

    def parts(self, runs: Sequence[Run]) -> list[Tensors]:
        """The rows of each run."""
        wanted = dict.fromkeys(run.group for run in runs)
        for group in [group for group in self._kept if group not in wanted]:
            self._kept.pop(group).close()
        missing = [group for group in wanted if group not in self._kept]
        for group, kept in zip(missing, self._pool.map(self._read, missing), strict=True):
            self._kept[group] = kept
        return [self._kept[run.group].rows(run.start, run.stop) for run in runs]

    def close(self) -> None:
        """Let go of everything; waits for what is being read."""
        self._pool.shutdown(cancel_futures=True)
        for kept in self._kept.values():
            kept.close()
        self._kept = {}

    def _read(self, group: int) -> Kept:
        return self._keep(self.reader.read(self._groups[group]))


@dataclass(frozen=True)
class Block:
    """The rows of a window as they were read, and their order.

    Attributes:
        rows: the columns.
        order: which of the rows comes when.
    """

    rows: dict[str, npt.NDArray[Any]]
    order: Ints

    def take(self, first: int, last: int) -> Tensors:
        """The rows ``first <= k < last`` in their order, as fresh tensors."""
        chosen = self.order[first:last]
        return {name: torch.from_numpy(rows.take(chosen, 0)) for name, rows in self.rows.items()}


class Blocks:
    """Makes the blocks of one worker: its rows of a window, in the order of their positions.

    Args:
        source: gives the rows of runs.
        order: of the table.
        rank: of the worker.
        world_size: number of workers.
    """

    def __init__(
        self,
        source: KeptGroups,
        order: StreamOrder,
        rank: int,
        world_size: int,
    ) -> None:
        self._source = source
        self._order = order
        self._rank = rank
        self._world_size = world_size

    def __call__(self, epoch: int, number: int) -> Block:
        """The block of a window.

        Raises:
            DataError: its rows cannot be read, or are not as declared.
        """
        window = self._order.window(epoch, number, self._rank, self._world_size)
        # One call for a column, not one for each run: between calls this thread waits for Python.
        rows = joined(self._source.parts(window.runs))
        return Block({name: tensor.numpy() for name, tensor in rows.items()}, window.order)

    def stop(self) -> None:
        """End waiting for a store that refuses."""
        self._source.reader.patience.close()

    def close(self) -> None:
        """Let go of files, threads and memory."""
        self._source.close()
