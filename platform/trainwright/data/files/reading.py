"""Reading columns of a file as Arrow data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from trainwright.data.files.location import DataFile
from trainwright.errors import DataError, Problem

_LARGEST_CSV_BLOCK = 2**31 - 1
_ARROW_MAGIC = b"ARROW1"
_DAMAGE = (pa.ArrowException, OSError)
_ACCESS = (PermissionError, ConnectionError, TimeoutError)


def read_schema(file: DataFile, path: str) -> Any:
    """The Arrow schema of a file.

    Args:
        file: what to read.
        path: dotted path in the job, for error messages.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return _stream(file).schema if is_stream(file) else _dataset(file).schema
    except Exception as error:  # file systems raise errors of their own libraries
        raise unreadable(file, path, error) from error


def read_columns(file: DataFile, columns: Sequence[str], path: str) -> Any:
    """The named columns of a file as an Arrow table, rows in the file's order.

    Args:
        file: what to read.
        columns: names that the file has.
        path: dotted path in the job, for error messages.

    Raises:
        DataError: the file is damaged or cannot be reached; a damaged row group is named.
    """
    try:
        if is_stream(file):
            table = _stream(file).read_all().select(list(columns))
        else:
            table = _dataset(file).to_table(columns=list(columns))
    except Exception as error:  # file systems raise errors of their own libraries
        raise unreadable(file, path, error) from error
    return without_dictionaries(table)


def without_dictionaries(table: Any) -> Any:
    """An Arrow table with its dictionary columns written out."""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            plain = table.column(index).cast(field.type.value_type)
            table = table.set_column(index, field.name, plain)
    return table


def row_group_of(file: DataFile, row: int) -> int | None:
    """The row group of a parquet file that holds ``row``; None for other formats."""
    if file.format != "parquet":
        return None
    with file.fs.open(file.path) as opened:
        metadata = pq.ParquetFile(opened).metadata
        for group in range(metadata.num_row_groups):
            row -= metadata.row_group(group).num_rows
            if row < 0:
                return group
    return None


def _dataset(file: DataFile) -> Any:
    return ds.dataset([file.path], format=_format(file), filesystem=file.fs)


def _format(file: DataFile) -> Any:
    if file.format == "csv":
        # One block, so that types are inferred from all rows and not from the first megabyte.
        block = min(max(file.size, 1) + 1, _LARGEST_CSV_BLOCK)
        return ds.CsvFileFormat(read_options=pyarrow.csv.ReadOptions(block_size=block))
    if file.format == "parquet":
        options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
        return ds.ParquetFileFormat(default_fragment_scan_options=options)
    return ds.IpcFileFormat()


def is_stream(file: DataFile) -> bool:
    """Whether an arrow file holds a stream, which has no magic at its start and no footer."""
    if file.format != "arrow" or file.size == 0:
        return False
    return bool(file.fs.read_block(file.path, 0, len(_ARROW_MAGIC)) != _ARROW_MAGIC)


def _stream(file: DataFile) -> Any:
    return pa.ipc.open_stream(pa.BufferReader(file.fs.cat_file(file.path)))


def unreadable(file: DataFile, path: str, error: Exception, group: int | None = None) -> DataError:
    """What to tell of a file that could not be read.

    Args:
        file: which one.
        path: dotted path in the job.
        error: what reading it raised.
        group: the row group that was read, where it was one alone; else the damage is looked for.
    """
    if isinstance(error, FileNotFoundError):
        return DataError(Problem(path=path, message=f"{file} is not there any more"))
    if not is_damage(error):
        text = f"{type(error).__name__}: {_first_line(error)}"
        return DataError(Problem(path=path, message=f"{file} cannot be reached: {text}"))
    part = _damaged_part(file, group) if file.format == "parquet" else ""
    return DataError(
        Problem(
            path=path,
            message=f"{file} cannot be read as {file.format}{part}: {_first_line(error)}",
            mend="the file is damaged, cut off or of another format; write or copy it anew",
        )
    )


def is_damage(error: Exception) -> bool:
    """Whether an error tells of a file's content, and not of the way to it."""
    return isinstance(error, _DAMAGE) and not isinstance(error, _ACCESS)


def _damaged_part(file: DataFile, group: int | None = None) -> str:
    """Which row group and column of a parquet file fails first, in words."""
    with file.fs.open(file.path) as opened:
        try:
            parquet = pq.ParquetFile(opened, page_checksum_verification=True)
        except _DAMAGE:
            return " (its footer)"
        for number in range(parquet.num_row_groups) if group is None else (group,):
            for name in parquet.schema_arrow.names:
                try:
                    parquet.read_row_group(number, columns=[name])
                except _DAMAGE:
                    return f" (row group {number}, column {name!r})"
    return ""


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
