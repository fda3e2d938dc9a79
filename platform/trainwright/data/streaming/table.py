"""A table whose samples stay in their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from tempfile import gettempdir

import numpy as np
import torch

from trainwright.data.files.location import DataFile
from trainwright.data.hashes import Ints
from trainwright.data.random import bits, key
from trainwright.data.rows import Rows
from trainwright.data.streaming import memory
from trainwright.data.streaming.ahead import ReadAhead
from trainwright.data.streaming.blocks import Blocks, KeptGroups
from trainwright.data.streaming.cursor import Cursor
from trainwright.data.streaming.keeping import InMemory, OnDisk
from trainwright.data.streaming.layout import Group, read_layout
from trainwright.data.streaming.order import Run, StreamOrder
from trainwright.data.streaming.patience import Patience
from trainwright.data.streaming.reading import GroupReader, Tensors, joined
from trainwright.data.table import Column, Table, as_given
from trainwright.job.models import ColumnSpec
from trainwright.job.streaming_spec import StreamingSpec

SAMPLE_ROWS = 2**16
SAMPLE_BYTES = 2**26
SAMPLE_GROUPS = 32
"""What transforms are fitted on: at most so many rows and bytes, from so many row groups."""

DESCRIBED = 64
"""Rows that are looked at to see what the columns hold."""

_CACHE_SHARE = 4
"""One part in so many of the memory for row groups is for rows that are asked for by number."""


class StreamedTable(Rows):
    """The rows of some row groups, in their order; ``sample_id`` is the row number in the source.

    Args:
        reader: of the source, which knows what the columns hold.
        groups: those of the table, at least one.
        spec: how it is streamed.
    """

    def __init__(self, reader: GroupReader, groups: Sequence[Group], spec: StreamingSpec) -> None:
        self.columns = dict(reader.columns)
        self.spec = spec
        self.groups = list(groups)
        self._reader = reader
        self._ends = np.cumsum([group.rows for group in groups])
        self._cache: dict[int, Tensors] = {}
        self._cursor = Cursor(reader, self.groups, self._step)

    @classmethod
    def open(
        cls,
        files: Sequence[DataFile],
        specs: Mapping[str, ColumnSpec],
        path: str,
        spec: StreamingSpec,
        like: Mapping[str, Column] | None = None,
    ) -> StreamedTable:
        """The table of all files; their footers and a few first rows are read.

        Args:
            files: at least one.
            specs: declared column -> type.
            path: dotted path of the source in the job, for error messages.
            spec: how it is streamed.
            like: columns of the training split, when these files are another source.

        Raises:
            DataError: what cannot be read as declared.
        """
        patience = Patience(spec.retries)
        layout = read_layout(files, specs, path, patience)
        reader = GroupReader(layout, specs, patience, like)
        columns, _ = reader.first(layout.groups[0], DESCRIBED)
        known = GroupReader(layout, specs, patience, {**columns, **(like or {})})
        return cls(known, layout.groups, spec)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __repr__(self) -> str:
        parts = (f"{n}: {c}" for n, c in self.columns.items() if c.kind != "id")
        return (
            f"StreamedTable({len(self)} samples in {len(self.groups)} groups; {', '.join(parts)})"
        )

    @property
    def num_ids(self) -> int:
        """One more than the largest ``sample_id``."""
        return max(group.first_id + group.rows for group in self.groups)

    def take(self, indices: torch.Tensor) -> Tensors:
        """See :meth:`Rows.take`; cheap for rows that follow one another."""
        stored = self._stored(indices.numpy())
        return {name: as_given(self.columns[name], tensor) for name, tensor in stored.items()}

    def subset(self, indices: torch.Tensor) -> Table:
        """See :meth:`Rows.subset`."""
        return Table(self.columns, self._stored(indices.numpy()))

    def ids(self, rows: Ints) -> Ints:
        """The ``sample_id`` of rows, without reading them."""
        place = np.searchsorted(self._ends, rows, side="right")
        found: Ints = rows + self._id_offsets[place]
        return found

    def of_groups(self, chosen: Sequence[int]) -> StreamedTable:
        """The table of some of the groups, by their place."""
        return StreamedTable(self._reader, [self.groups[place] for place in chosen], self.spec)

    def sample(self) -> Table:
        """Rows to fit transforms on: the first ones of some groups, the same on every worker."""
        row = memory.row_bytes(self.columns)
        hashes = bits(key("sample"), torch.arange(len(self.groups))).numpy()
        chosen = np.sort(np.argsort(hashes)[:SAMPLE_GROUPS])
        each = max(min(SAMPLE_ROWS, SAMPLE_BYTES // row) // len(chosen), 1)
        parts = [self._reader.first(self.groups[place], each)[1] for place in chosen]
        return Table(self.columns, joined(parts))

    def head(self, num_rows: int) -> Table:
        """The first rows of the first group, at most so many."""
        return Table(self.columns, joined([self._reader.first(self.groups[0], num_rows)[1]]))

    def order(self, seed: int, shuffle: bool) -> StreamOrder:
        """The order of its epochs."""
        shards = self.spec.shards
        depth = memory.window_depth(self.columns, shards, self.spec.window)
        return StreamOrder(tuple(g.rows for g in self.groups), shards, depth, seed, shuffle)

    def plan(self, order: StreamOrder, world_size: int) -> memory.Plan:
        """How each worker reads, and what it holds at most."""
        return memory.plan(
            order,
            world_size,
            memory.row_bytes(self.columns),
            self._reader.file_bytes(max(self.groups, key=lambda group: group.rows)),
            self.spec.memory_mib * 2**20,
        )

    def summary(self, seed: int, shuffle: bool, world_size: int) -> str:
        """How it will be read, in words."""
        order = self.order(seed, shuffle)
        plan = self.plan(order, world_size)
        disk = f" and {_mib(plan.disk_bytes)} in {gettempdir()}" if plan.disk_bytes else ""
        return (
            f"{len(self.groups)} row groups in {order.shards} shards, windows of {order.span} "
            f"rows; each worker holds up to {_mib(plan.size_bytes)} of them in memory{disk}"
        )

    def read_ahead(
        self, order: StreamOrder, rank: int, world_size: int, epochs: int | None = None
    ) -> ReadAhead:
        """The rows of a worker in the order of the epochs; see :class:`ReadAhead`."""
        # Of its own: closing it must not end the patience of others.
        reader = self._reader.with_patience(Patience(self.spec.retries))
        plan = self.plan(order, world_size)
        keep = InMemory if plan.in_memory else OnDisk
        source = KeptGroups(reader, self.groups, keep, plan.num_readers)
        blocks = Blocks(source, order, rank, world_size)
        return ReadAhead(blocks, self.columns, order, world_size, epochs)

    @property
    def _step(self) -> int:
        return min(4096, max(2**24 // memory.row_bytes(self.columns), 1))

    @cached_property
    def _id_offsets(self) -> Ints:
        firsts = np.asarray([group.first_id for group in self.groups])
        offsets: Ints = firsts - (self._ends - np.asarray([group.rows for group in self.groups]))
        return offsets

    def _stored(self, rows: Ints) -> Tensors:
        place = np.searchsorted(self._ends, rows, side="right")
        needed = np.unique(place)
        parts, positions = [], []
        for group in needed:
            inside = np.flatnonzero(place == group)
            first = int(self._ends[group]) - self.groups[group].rows
            parts.append(self._group_rows(int(group), rows[inside] - first))
            positions.append(inside)
        found = joined(parts) if parts else self._group_rows(0, rows)
        if len(needed) < 2:
            return found
        back = torch.from_numpy(np.argsort(np.concatenate(positions)))
        return {name: tensor.index_select(0, back) for name, tensor in found.items()}

    def _group_rows(self, group: int, inside: Ints) -> Tensors:
        """Rows of one group: of a small one from the cache, of a large one by stepping on."""
        size = self.groups[group].rows * memory.row_bytes(self.columns)
        if size > self.spec.memory_mib * 2**20 // (2 * _CACHE_SHARE) and len(inside):
            start = int(inside.min())
            tensors = joined([self._cursor.rows(Run(group, start, int(inside.max()) + 1))])
            inside = inside - start
        else:
            tensors = self._cached(group)
        index = torch.from_numpy(inside)
        return {name: tensor.index_select(0, index) for name, tensor in tensors.items()}

    def _cached(self, group: int) -> Tensors:
        if group not in self._cache:
            # Two groups: rows that follow one another lie in two at most, near their seam.
            while len(self._cache) > 1:
                del self._cache[next(iter(self._cache))]
            self._cache[group] = joined([self._reader.read(self.groups[group])])
        return self._cache[group]


def _mib(size_bytes: int) -> str:
    return f"{-(-size_bytes // 2**20):,} MiB"
