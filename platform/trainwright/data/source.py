"""One source of samples: a dataset plugin, or files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainwright import plugins
from trainwright.data.fits import check_size
from trainwright.data.rows import Rows
from trainwright.data.table import Column, Table
from trainwright.errors import MISSING, DataError, InputError, JobError, PluginError, Problem
from trainwright.job.models import DataSpec, NamedSource, PluginSpec
from trainwright.job.sources import in_memory, is_file_source
from trainwright.plugins.markers import path_options
from trainwright.plugins.resolve import Site, resolved

if TYPE_CHECKING:
    from trainwright.data.files.location import DataFile


@dataclass(frozen=True)
class Source:
    """Samples as they were read, or as they will be while training goes on, before any split.

    Attributes:
        table: all of them.
        fingerprint: identifies the content.
    """

    table: Rows
    fingerprint: str


def load_source(
    source: str | PluginSpec,
    spec: DataSpec | NamedSource,
    base: Path,
    path: str,
    workers: int = 0,
    like: Rows | None = None,
) -> Source:
    """Read a source whole, or, where the job streams it, as much as tells what it holds.

    Args:
        source: path, URL, or dataset plugin with its options.
        spec: the section of the job that holds format and columns.
        base: folder of the job file.
        path: dotted path of the source in the job, for error messages.
        workers: number of training processes.
        like: the training split, when this is another source: it must have the same columns.

    Raises:
        DataError: it cannot be read as declared, or differs from ``like``.
        PluginError: there is no such plugin, or its options are wrong.
        JobError: a source in memory with workers.
    """
    plugin = PluginSpec(name=source) if isinstance(source, str) else source
    if not is_file_source(plugin.name, spec.format):
        return _from_plugin(plugin, base, path, workers, like)
    return _from_files(plugin.name, spec, base, path, workers, like)


def _from_files(
    source: str,
    spec: DataSpec | NamedSource,
    base: Path,
    path: str,
    workers: int,
    like: Rows | None,
) -> Source:
    # pyarrow is imported here, for the sources that need it: it takes a third of a second.
    from trainwright.data.files.declarations import check_columns
    from trainwright.data.files.fingerprint import fingerprint_files
    from trainwright.data.files.loading import load_table
    from trainwright.data.files.location import find_files

    if problems := check_columns(spec.columns):
        raise DataError(problems)
    files = find_files(source, spec.format, base, path, workers)
    if spec.streaming is not None:
        return _streamed(files, spec, path, like)
    check_size(sum(file.size for file in files), path, source)
    return Source(load_table(files, spec.columns, path, like), fingerprint_files(files))


def _streamed(
    files: Sequence[DataFile], spec: DataSpec | NamedSource, path: str, like: Rows | None
) -> Source:
    from trainwright.data.files.fingerprint import fingerprint_files
    from trainwright.data.streaming.layout import attempted
    from trainwright.data.streaming.patience import Patience
    from trainwright.data.streaming.table import StreamedTable

    assert spec.streaming is not None
    known, patience = None if like is None else like.columns, Patience(spec.streaming.retries)
    table = StreamedTable.open(files, spec.columns, path, spec.streaming, known)
    return Source(
        table, fingerprint_files(files, lambda file, read: attempted(file, path, patience, read))
    )


def _from_plugin(
    spec: PluginSpec, base: Path, path: str, workers: int, like: Rows | None
) -> Source:
    plugin, options = _found(spec, base, path)
    if workers:
        _refuse_memory(plugin, options, path)
    try:
        table = plugins.construct(plugin, resolved(plugin, options, Site(base, path)), path)
    except InputError as error:
        raise type(error)([_inside(problem, path) for problem in error.problems]) from error
    if not isinstance(table, Table):
        raise DataError(
            Problem(
                path=path,
                message=f"the dataset {spec.name} does not return a table",
                got=type(table).__name__,
                allowed="a trainwright.data.Table, for example from Table.from_arrays(...)",
            )
        )
    if len(table) == 0:
        raise DataError(Problem(path=path, message=f"the dataset {spec.name} has no samples"))
    fingerprint = table.fingerprint()
    return Source(table if like is None else _as(like, table, path), fingerprint)


def _found(spec: PluginSpec, base: Path, path: str) -> tuple[plugins.Plugin, dict[str, Any]]:
    """The dataset and its checked options."""
    try:
        plugin = plugins.find("datasets", spec.name, base, path=path)
    except PluginError as error:
        if (base / spec.name).exists():
            hint = f"for the file or folder of that name write ./{spec.name}"
            raise PluginError([replace(p, mend=hint) for p in error.problems]) from error
        raise
    options, problems = plugins.check_options(plugin, spec.options, path)
    if problems:
        raise PluginError(problems)
    return plugin, options


def _refuse_memory(plugin: plugins.Plugin, options: Mapping[str, Any], path: str) -> None:
    """A dataset's own files in the memory of this process are not seen by the workers."""
    for name in path_options(plugin):
        given = options.get(name)
        urls = given if isinstance(given, (list, tuple)) else [given]
        if any(in_memory(str(url)) for url in urls):
            raise JobError(
                Problem(
                    path=f"{path}.{name}",
                    message="memory:// is seen by one process only, but cluster.workers is not 0",
                    got=given,
                    allowed="a shared folder (file://) or an object store (s3://)",
                )
            )


def _inside(problem: Problem, path: str) -> Problem:
    """A problem that a dataset tells of its own option, with the option's place in the job."""
    if problem.path == path or problem.path.startswith(f"{path}."):
        return problem
    return replace(problem, path=f"{path}.{problem.path}" if problem.path else path)


def _as(like: Rows, table: Table, path: str) -> Table:
    """``table`` with the class numbers of the training split.

    Raises:
        DataError: it does not have the training split's columns.
    """
    columns, problems = dict(table.columns), []
    for name, wanted in like.columns.items():
        have = table.columns.get(name)
        if have is None or not _fits(have, wanted):
            problems.append(
                Problem(
                    path=path,
                    message=f"column {name!r} is not as in the training data",
                    got=MISSING if have is None else str(have),
                    allowed=str(wanted),
                )
            )
            continue
        columns[name] = wanted
    if problems:
        raise DataError(problems)
    return Table(columns, table.tensors)


def _fits(have: Column, wanted: Column) -> bool:
    same = (have.kind, have.shape, have.labels) == (wanted.kind, wanted.shape, wanted.labels)
    return same and (have.num_classes or 0) <= (wanted.num_classes or 0)
