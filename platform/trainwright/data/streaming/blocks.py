"""The rows of a window as one worker computes them, gathered from row groups."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import torch

from trainwright.data.streaming.layout import Group
from trainwright.data.streaming.memory import READERS
from trainwright.data.streaming.order import Run, StreamOrder
from trainwright.data.streaming.reading import GroupReader, Steps, Tensors


class WholeGroups:
    """Row groups decoded whole; those of the last window are kept, for the next one needs most.

    Args:
        reader: of the source.
        groups: of the table, in its order.
    """

    def __init__(self, reader: GroupReader, groups: Sequence[Group]) -> None:
        self.reader = reader
        self._groups = groups
        self._held: dict[int, Tensors] = {}
        self._pool = ThreadPoolExecutor(READERS, "row groups")

    def parts(self, runs: Sequence[Run]) -> list[Tensors]:
        """The rows of each run."""
        wanted = dict.fromkeys(run.group for run in runs)
        self._held = {group: self._held[group] for group in wanted if group in self._held}
        missing = [group for group in wanted if group not in self._held]
        read = self._pool.map(lambda group: self.reader.read(self._groups[group]), missing)
        self._held.update(zip(missing, read, strict=True))
        return [
            {name: tensor[run.start : run.stop] for name, tensor in self._held[run.group].items()}
            for run in runs
        ]

    def close(self) -> None:
        """Let go of everything; waits for what is being read."""
        self._pool.shutdown(cancel_futures=True)
        self._held = {}


class SteppedGroups:
    """Row groups that each shard steps through, for those too large to be held.

    Args:
        reader: of the source.
        groups: of the table, in its order.
        size: rows of a step.
    """

    def __init__(self, reader: GroupReader, groups: Sequence[Group], size: int) -> None:
        self.reader = reader
        self._groups = groups
        self._size = size
        self._cursors: dict[tuple[int, int], Cursor] = {}
        self._pool = ThreadPoolExecutor(READERS, "row groups")

    def parts(self, runs: Sequence[Run]) -> list[Tensors]:
        """The rows of each run; cheapest where runs go on where those of the last call ended."""
        before, self._cursors = self._cursors, {}
        parts = list(self._pool.map(lambda run: self._rows(run, before), runs))
        _close(before.values())
        return parts

    def close(self) -> None:
        """Let go of everything; waits for what is being read."""
        self._pool.shutdown(cancel_futures=True)
        _close(self._cursors.values())
        self._cursors = {}

    def _rows(self, run: Run, cursors: dict[tuple[int, int], Cursor]) -> Tensors:
        """Of a run, by the cursor that stands where it begins, or a new one."""
        cursor = cursors.pop((run.group, run.start), None)
        if cursor is None:
            cursor = Cursor(self.reader, self._groups, self._size)
        # Known before it is used: if reading fails, it is closed with all others.
        self._cursors[run.group, run.stop] = cursor
        return cursor.rows(run)


def _close(cursors: Iterable[Cursor]) -> None:
    for cursor in cursors:
        cursor.close()


class Cursor:
    """A place in a row group from which it is read on.

    Args:
        reader: of the source.
        groups: of the table, in its order.
        size: rows of a step.
    """

    def __init__(self, reader: GroupReader, groups: Sequence[Group], size: int) -> None:
        self.reader = reader
        self._groups = groups
        self._size = size
        self._group = -1
        self._steps: Steps | None = None
        self._table: Any = None
        self._start = self._stop = 0

    def rows(self, run: Run) -> Tensors:
        """The rows of a run; cheapest when it follows the one before."""
        if self._steps is None or run.group != self._group or run.start < self._start:
            self._begin(run.group)
        tables, at = [], run.start
        while at < run.stop:
            while at >= self._stop:
                self._advance()
            stop = min(run.stop, self._stop)
            tables.append(self._table.slice(at - self._start, stop - at))
            at = stop
        table = tables[0] if len(tables) == 1 else pa.concat_tables(tables)
        return self.reader.tensors(self._groups[run.group], run.start, table)

    def close(self) -> None:
        """Let go of the file."""
        if self._steps is not None:
            self._steps.close()
        self._steps = self._table = None

    def _begin(self, group: int) -> None:
        self.close()
        self._group, self._start, self._stop = group, 0, 0
        self._steps = self.reader.steps(self._groups[group], self._size)

    def _advance(self) -> None:
        assert self._steps is not None
        self._table = None
        self._table = self._steps.next()
        self._start, self._stop = self._stop, self._stop + self._table.num_rows


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
        source: WholeGroups | SteppedGroups,
        order: StreamOrder,
        rank: int,
        world_size: int,
    ) -> None:
        self._source = source
        self._order = order
        self._rank = rank
        self._world_size = world_size

    def __call__(self, epoch: int, number: int) -> Tensors:
        """The block of a window.

        Raises:
            DataError: its rows cannot be read, or are not as declared.
        """
        window = self._order.window(epoch, number, self._rank, self._world_size)
        parts, order = self._source.parts(window.runs), torch.from_numpy(window.order)
        num_rows = sum(run.stop - run.start for run in window.runs)
        return {
            name: _gathered([part[name] for part in parts], num_rows, order) for name in parts[0]
        }

    def stop(self) -> None:
        """End waiting for a store that refuses."""
        self._source.reader.patience.close()

    def close(self) -> None:
        """Let go of files, threads and memory."""
        self._source.close()


def _gathered(parts: Sequence[torch.Tensor], num_rows: int, order: torch.Tensor) -> torch.Tensor:
    """The rows of all parts, in this order."""
    rows = torch.empty((num_rows, *parts[0].shape[1:]), dtype=parts[0].dtype)
    at = 0
    for part in parts:
        rows[at : at + len(part)].copy_(part)
        at += len(part)
    return rows.index_select(0, order)
