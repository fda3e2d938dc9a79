"""A table from files of declared columns."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pyarrow as pa

from trainwright.data.files.column_error import ColumnError
from trainwright.data.files.convert import Converted, convert, file_columns, sources_of
from trainwright.data.files.declarations import suggestion
from trainwright.data.files.location import DataFile
from trainwright.data.files.reading import read_columns, read_schema, row_group_of
from trainwright.data.rows import Rows
from trainwright.data.table import Table
from trainwright.errors import DataError, Problem
from trainwright.job.models import ColumnSpec
from trainwright.suggest import nearest, one_of


def load_table(
    files: Sequence[DataFile],
    columns: Mapping[str, ColumnSpec],
    path: str,
    like: Rows | None = None,
) -> Table:
    """Read the declared columns of all files, one file's rows after another's.

    Args:
        files: at least one.
        columns: declared column -> type.
        path: dotted path of the source in the job, for error messages.
        like: the training split, when these files are another source: classes and lengths that
            the job does not declare are those of ``like``.

    Raises:
        DataError: what cannot be read as declared: file, column, row and row group are named, and
            every wrong column is reported, not just the first.
    """
    schemas = [read_schema(file, path) for file in files]
    if not columns:
        raise undeclared(files[0], schemas[0])
    check_names(files, schemas, columns)
    wanted = file_columns(columns)
    parts = [read_columns(file, wanted, path) for file in files]
    if not any(part.num_rows for part in parts):
        raise DataError(Problem(path=path, message=f"{files[0]} has no rows"))
    data, problems = _joined(files, parts, wanted)
    table: Converted = {}
    for name, spec in columns.items():
        if not data.keys() >= set(sources_of(name, spec)):
            continue  # already among the problems
        try:
            table.update(convert(name, spec, data, like.columns.get(name) if like else None))
        except ColumnError as error:
            source = error.source or sources_of(name, spec)[0]
            problems.append(_problem(name, source, error, files, [p.num_rows for p in parts]))
    if problems:
        raise DataError(problems)
    return Table({n: c for n, (c, _) in table.items()}, {n: t for n, (_, t) in table.items()})


def undeclared(file: DataFile, schema: Any) -> DataError:
    """What to tell of a file source without declared columns: what they might be."""
    fields = ", ".join(f"{field.name}: {field.type}" for field in schema)
    return DataError(
        Problem(
            path="data.columns",
            message=f"a file source needs its columns declared; {file} has {fields}",
            mend=f"say what the columns hold, for example\n\ndata:\n{suggestion(schema)}\n",
        )
    )


def check_names(
    files: Sequence[DataFile], schemas: Sequence[Any], columns: Mapping[str, ColumnSpec]
) -> None:
    """Refuse declared columns that read what a file does not have."""
    problems = []
    for name, spec in columns.items():
        for source in sources_of(name, spec):
            lacking = [(f, s) for f, s in zip(files, schemas, strict=True) if source not in s.names]
            if not lacking:
                continue
            file, schema = lacking[0]
            problems.append(
                Problem(
                    path=f"data.columns.{name}" + (".from" if spec.source else ""),
                    message=f"there is no column {source!r} in {file}",
                    got=source,
                    allowed=one_of(schema.names),
                    nearest=nearest(source, schema.names),
                )
            )
    if problems:
        raise DataError(problems)


def _joined(
    files: Sequence[DataFile], parts: Sequence[Any], wanted: Sequence[str]
) -> tuple[dict[str, Any], list[Problem]]:
    """Each column over all files; a column whose types cannot be reconciled is a problem."""
    data: dict[str, Any] = {}
    problems = []
    for source in wanted:
        tables = [part.select([source]) for part in parts]
        try:
            joined = pa.concat_tables(tables, promote_options="permissive")
        except pa.ArrowException:
            types = [table.schema.field(0).type for table in tables]
            problems.append(different_types(source, files, types))
        else:
            data[source] = joined.column(0)
    return data, problems


def different_types(source: str, files: Sequence[DataFile], types: Sequence[Any]) -> Problem:
    """The problem of a column whose types in the files cannot be reconciled."""
    example: dict[str, DataFile] = {}
    for file, kind in zip(files, types, strict=True):
        example.setdefault(str(kind), file)
    return Problem(
        path="data.columns",
        message=f"column {source!r} has different types in different files: "
        + ", ".join(f"{kind} in {file}" for kind, file in example.items()),
        allowed="one type in all files",
    )


def _problem(
    name: str, source: str, error: ColumnError, files: Sequence[DataFile], rows: Sequence[int]
) -> Problem:
    if error.row is not None:
        where = f"{_place(error.row, files, rows)}: column {source!r}"
    elif len(files) > 1:
        where = f"{files[0]} and {len(files) - 1} more: column {source!r}"
    else:
        where = f"{files[0]}: column {source!r}"
    return Problem(path=f"data.columns.{name}", message=f"{where} {error.message}", **error.details)


def _place(row: int, files: Sequence[DataFile], rows: Sequence[int]) -> str:
    """File and row (from 0) of a row that is counted over all files."""
    starts = list(accumulate(rows, initial=0))
    index = bisect_right(starts, row) - 1
    file, local = files[index], row - starts[index]
    group = row_group_of(file, local)
    inside = "" if group is None else f", row group {group}"
    return f"{file}, row {local} (from 0{inside})"
