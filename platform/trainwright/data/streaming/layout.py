"""The row groups of a streamed source: how many rows each has, read from the files' footers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem

from trainwright.data.files.convert import file_columns
from trainwright.data.files.loading import check_names, different_types, undeclared
from trainwright.data.files.location import DataFile
from trainwright.data.files.reading import is_stream, unreadable
from trainwright.data.streaming.patience import GivenUpError, Patience
from trainwright.errors import DataError, Problem
from trainwright.job.models import ColumnSpec
from trainwright.storage import cause_of, how_to_reach

_T = TypeVar("_T")

READERS = 16
"""Footers that are read at a time: a store takes its time for each."""


@dataclass(frozen=True)
class Group:
    """A row group of a parquet file, or a record batch of an arrow file.

    Attributes:
        file: index of its file.
        index: its number in the file.
        rows: how many.
        first_id: row number of its first row in the source.
    """

    file: int
    index: int
    rows: int
    first_id: int


@dataclass(frozen=True)
class Layout:
    """What the footers of a source say.

    Attributes:
        files: in the order of their rows.
        groups: all that have rows.
        footers: of each file, for the reader; parquet's metadata, None for arrow.
        types: file column -> the Arrow type that holds its values in every file.
        path: dotted path of the source in the job, for error messages.
    """

    files: Sequence[DataFile]
    groups: Sequence[Group]
    footers: Sequence[Any]
    types: Mapping[str, Any]
    path: str

    def place(self, group: Group) -> str:
        """A group in words."""
        kind = "row group" if self.files[group.file].format == "parquet" else "record batch"
        return f"{self.files[group.file]}, {kind} {group.index}"


def read_layout(
    files: Sequence[DataFile], columns: Mapping[str, ColumnSpec], path: str, patience: Patience
) -> Layout:
    """Read the footers of all files.

    Args:
        files: at least one; parquet, or arrow files.
        columns: declared column -> type.
        path: dotted path of the source in the job, for error messages.
        patience: with a store that refuses.

    Raises:
        DataError: a file cannot be read, is of another format, lacks a column or has one of
            another type; or there are no rows.
    """
    _refuse_formats(files, path)
    with ThreadPoolExecutor(min(READERS, len(files)), "footers") as pool:
        footers = list(pool.map(lambda file: _footer(file, path, patience), files))
    schemas = [footer.schema for footer in footers]
    if not columns:
        raise undeclared(files[0], schemas[0])
    check_names(files, schemas, columns)
    types = _types(files, schemas, file_columns(columns))
    groups, first_id = [], 0
    for number, footer in enumerate(footers):
        for index, rows in enumerate(footer.rows):
            if rows:
                groups.append(Group(number, index, rows, first_id))
            first_id += rows
    if not groups:
        raise DataError(Problem(path=path, message=f"{files[0]} has no rows"))
    return Layout(files, groups, [footer.metadata for footer in footers], types, path)


@dataclass(frozen=True)
class _Footer:
    schema: Any
    rows: Sequence[int]
    metadata: Any = field(default=None)


def _refuse_formats(files: Sequence[DataFile], path: str) -> None:
    other = [file for file in files if file.format not in ("parquet", "arrow")]
    if other:
        raise DataError(
            Problem(
                path,
                f"{other[0]} is a {other[0].format} file, which has no row groups, by which any "
                "part could be read alone",
                allowed="parquet, or arrow files",
                mend="write the table as parquet, or leave data.streaming out",
            )
        )


def _footer(file: DataFile, path: str, patience: Patience) -> _Footer:
    read = _parquet_footer if file.format == "parquet" else _arrow_footer
    return attempted(file, path, patience, lambda: read(file, path))


def _parquet_footer(file: DataFile, path: str) -> _Footer:
    with opened(file) as source:
        metadata = pq.read_metadata(source)
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    return _Footer(metadata.schema.to_arrow_schema(), rows, metadata)


def _arrow_footer(file: DataFile, path: str) -> _Footer:
    if is_stream(file):
        raise DataError(
            Problem(
                path,
                f"{file} holds an arrow stream, which can only be read from its start",
                allowed="parquet, or arrow files (with a footer)",
                mend="write it by pyarrow.ipc.new_file instead of new_stream",
            )
        )
    with opened(file) as source:
        schema = pa.ipc.open_file(source).schema
        # Of one small column: the number of rows of a batch stands before its data, not in the
        # footer, and the data of all others is not touched.
        small = [place for place, one in enumerate(schema) if pa.types.is_primitive(one.type)]
        few = pa.ipc.IpcReadOptions(included_fields=small[:1])
        reader = pa.ipc.open_file(source, options=few)
        rows = [reader.get_batch(index).num_rows for index in range(reader.num_record_batches)]
    return _Footer(schema, rows)


def attempted(
    file: DataFile,
    path: str,
    patience: Patience,
    action: Callable[[], _T],
    group: Group | None = None,
) -> _T:
    """What a read gives, repeated with patience.

    Raises:
        DataError: it failed for good; file, row group, and a damaged column are named.
    """
    kind = "row group" if file.format == "parquet" else "record batch"
    what = str(file) if group is None else f"{file}, {kind} {group.index}"
    try:
        return patience(what, action)
    except GivenUpError as error:
        cause = error.__cause__
        assert isinstance(cause, Exception)
        raise DataError(
            Problem(
                path,
                f"{what} cannot be read, {error}: {cause_of(cause)}",
                mend=how_to_reach(str(file), cause) or "see to the store; the run then goes on",
            )
        ) from cause
    except DataError:
        raise
    except (OSError, pa.ArrowException) as error:
        raise unreadable(file, path, error, None if group is None else group.index) from error


@contextmanager
def opened(file: DataFile) -> Iterator[Any]:
    """A file for pyarrow; of a store only the ranges that are asked for are fetched."""
    if isinstance(file.fs, LocalFileSystem):
        with pa.OSFile(file.path) as local:
            yield local
        return
    with file.fs.open(file.path, "rb", cache_type="none") as remote:
        yield remote


def _types(
    files: Sequence[DataFile], schemas: Sequence[Any], wanted: Sequence[str]
) -> dict[str, Any]:
    """File column -> the type that holds what all files have."""
    types, problems = {}, []
    for name in wanted:
        found = [_plain(schema.field(name).type) for schema in schemas]
        try:
            unified = pa.unify_schemas(
                [pa.schema([(name, kind)]) for kind in dict.fromkeys(found)],
                promote_options="permissive",
            )
        except pa.ArrowException:
            problems.append(different_types(name, files, found))
        else:
            types[name] = unified.field(name).type
    if problems:
        raise DataError(problems)
    return types


def _plain(kind: Any) -> Any:
    return kind.value_type if pa.types.is_dictionary(kind) else kind
