"""Row groups as tensors: read, converted as declared, and traced back where they are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from trainwright.data.files.column_error import ColumnError
from trainwright.data.files.convert import Converted, convert, file_columns, sources_of
from trainwright.data.files.reading import without_dictionaries
from trainwright.data.streaming.layout import Group, Layout, attempted, opened
from trainwright.data.streaming.patience import Patience
from trainwright.data.table import SAMPLE_ID, Column
from trainwright.errors import DataError, Problem
from trainwright.job.models import ColumnSpec

Tensors = dict[str, torch.Tensor]
"""Name -> values as a table stores them, samples along dimension 0; with ``sample_id``."""

BUFFER = 2**18
"""Bytes of a column that are fetched at a time where a row group is read in steps."""


class GroupReader:
    """Reads the declared columns of row groups.

    Args:
        layout: of the source.
        specs: declared column -> type.
        patience: with a store that refuses.
        columns: what the columns hold, from :meth:`describe`; classes and sequence lengths are
            taken from there.
    """

    def __init__(
        self,
        layout: Layout,
        specs: Mapping[str, ColumnSpec],
        patience: Patience,
        columns: Mapping[str, Column] | None = None,
    ) -> None:
        self.layout = layout
        self.specs = specs
        self.patience = patience
        self.columns = dict(columns or {})
        self._wanted = file_columns(specs)

    def read(self, group: Group) -> Tensors:
        """All rows of a group.

        Raises:
            DataError: it cannot be read or is not as declared; file, row group, column and row
                are named.
        """
        return self.tensors(group, 0, self._attempted(group, lambda: self._whole(group)))

    def steps(self, group: Group, size: int) -> Steps:
        """The rows of a group in Arrow tables of ``size`` rows, each read when it is asked for."""
        return Steps(self, group, size)

    def first(self, group: Group, num_rows: int) -> tuple[Mapping[str, Column], Tensors]:
        """The first rows of a group, and what their columns hold."""
        with self.steps(group, num_rows) as steps:
            return self._converted(group, 0, steps.next())

    def with_patience(self, patience: Patience) -> GroupReader:
        """A reader of the same with another patience."""
        return GroupReader(self.layout, self.specs, patience, self.columns)

    def file_bytes(self, group: Group) -> int:
        """Bytes of the columns that are read of a group, unpacked; 0 for arrow files."""
        if not self._is_parquet(group):
            return 0
        about = self.layout.footers[group.file].row_group(group.index)
        size = 0
        for chunk in map(about.column, range(about.num_columns)):
            whole, _, _ = chunk.path_in_schema.partition(".")
            if whole in self._wanted or chunk.path_in_schema in self._wanted:
                size += chunk.total_uncompressed_size
        return size

    def tensors(self, group: Group, start: int, table: Any) -> Tensors:
        """Rows of a group, from row ``start`` on, as they were read."""
        return self._converted(group, start, table)[1]

    def _converted(
        self, group: Group, start: int, table: Any
    ) -> tuple[Mapping[str, Column], Tensors]:
        data = {name: table.column(name) for name in self._wanted}
        found: Converted = {}
        problems = []
        for name, spec in self.specs.items():
            try:
                found.update(convert(name, spec, data, self.columns.get(name)))
            except ColumnError as error:
                problems.append(self._problem(name, spec, error, group, start))
        if problems:
            raise DataError(problems)
        first = group.first_id + start
        ids = torch.arange(first, first + table.num_rows)
        columns = {name: column for name, (column, _) in found.items()}
        tensors = {name: tensor for name, (_, tensor) in found.items()}
        return {**columns, SAMPLE_ID: Column("id", (), torch.int64)}, {**tensors, SAMPLE_ID: ids}

    def _problem(
        self, name: str, spec: ColumnSpec, error: ColumnError, group: Group, start: int
    ) -> Problem:
        source = error.source or sources_of(name, spec)[0]
        row = "" if error.row is None else f", row {start + error.row} (from 0)"
        return Problem(
            path=f"data.columns.{name}",
            message=f"{self.layout.place(group)}{row}: column {source!r} {error.message}",
            **error.details,
        )

    def _attempted(self, group: Group, action: Any) -> Any:
        layout = self.layout
        return attempted(layout.files[group.file], layout.path, self.patience, action, group)

    def _whole(self, group: Group) -> Any:
        with opened(self.layout.files[group.file]) as source:
            if self._is_parquet(group):
                # In this thread: Arrow's own pool has as many as OMP_NUM_THREADS says, one for a
                # worker, and the threads that read row groups side by side would wait for it.
                # From a disk column by column; a store is asked once for all.
                is_local = isinstance(source, pa.OSFile)
                parquet = self._parquet(source, group, pre_buffer=not is_local)
                table = parquet.read_row_group(group.index, self._wanted, use_threads=False)
                return self._cast(table)
            return self._cast(self._batch(source, group))

    def _batch(self, source: Any, group: Group) -> Any:
        schema = pa.ipc.open_file(source).schema
        fields = sorted(schema.get_field_index(name) for name in self._wanted)
        options = pa.ipc.IpcReadOptions(included_fields=fields)
        batch = pa.ipc.open_file(source, options=options).get_batch(group.index)
        return pa.Table.from_batches([batch])

    def _parquet(self, source: Any, group: Group, **options: Any) -> Any:
        footer = self.layout.footers[group.file]
        return pq.ParquetFile(source, metadata=footer, page_checksum_verification=True, **options)

    def _is_parquet(self, group: Group) -> bool:
        return self.layout.files[group.file].format == "parquet"

    def _cast(self, table: Any) -> Any:
        """The table with the types that hold what all files have."""
        table = without_dictionaries(table.select(self._wanted))
        types = self.layout.types
        if all(field.type == types[field.name] for field in table.schema):
            return table
        return table.cast(pa.schema([(name, types[name]) for name in self._wanted]))


class Steps:
    """A row group that is read in steps; what a store refuses is asked for again from there.

    Args:
        reader: of the source.
        group: which one.
        size: rows of a step; the last one has fewer.
    """

    def __init__(self, reader: GroupReader, group: Group, size: int) -> None:
        self._reader = reader
        self._group = group
        self._size = size
        self._done = 0
        self._batches: Iterator[Any] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self) -> Any:
        """The next rows, as an Arrow table.

        Raises:
            DataError: they cannot be read.
        """
        table = self._reader._attempted(self._group, self._advance)
        self._done += 1
        return table

    def close(self) -> None:
        """Let go of the file."""
        self._batches = None
        self._open.close()

    def _advance(self) -> Any:
        try:
            if self._batches is None:
                self._batches = self._begin()
                for _ in range(self._done):
                    next(self._batches)
            return next(self._batches)
        except BaseException:
            self.close()
            raise

    def _begin(self) -> Iterator[Any]:
        reader, group = self._reader, self._group
        source = self._open.enter_context(opened(reader.layout.files[group.file]))
        if not reader._is_parquet(group):
            table = reader._cast(reader._batch(source, group))
            starts = range(0, table.num_rows, self._size)
            return (table.slice(start, self._size) for start in starts)
        parquet = reader._parquet(source, group, buffer_size=BUFFER, pre_buffer=False)
        batches = parquet.iter_batches(
            self._size, row_groups=[group.index], columns=reader._wanted, use_threads=False
        )
        return (reader._cast(pa.Table.from_batches([batch])) for batch in batches)


def joined(parts: Sequence[Tensors]) -> Tensors:
    """Rows one after the other, each in one piece of memory."""
    if len(parts) == 1:
        return {name: tensor.contiguous() for name, tensor in parts[0].items()}
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
