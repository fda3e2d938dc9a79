"""A place in a row group from which it is read on, for rows that follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from trainwright.data.streaming.layout import Group
from trainwright.data.streaming.order import Run
from trainwright.data.streaming.reading import GroupReader, Steps, Tensors


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
