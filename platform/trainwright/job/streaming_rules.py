"""Rules on ``data.streaming``: what can be read while training goes on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from posixpath import splitext

from trainwright.errors import Problem
from trainwright.job.data_rules import WithData
from trainwright.job.models import ColumnSpec, DataSpec, HeldOut, NamedSource
from trainwright.job.sources import is_file_source, name_of
from trainwright.suggest import one_of


def _streamed(data: DataSpec) -> Iterator[tuple[str, DataSpec | NamedSource]]:
    """Dotted path and content of every section that is streamed."""
    if data.streaming is not None:
        yield "data", data
    for name, named in data.sources.items():
        if named.streaming is not None:
            yield f"data.sources.{name}", named


def workers_that_cannot_read(data: DataSpec, workers: Collection[int]) -> list[Problem]:
    """What is wrong with reading a job's data with any of these numbers of workers.

    Each worker reads whole shards, so that the order does not depend on how many there are.

    Args:
        data: the job's data section.
        workers: numbers of workers that there may be; 0 stands for one.
    """
    problems = []
    for path, section in _streamed(data):
        assert section.streaming is not None
        shards = section.streaming.shards
        wrong = [number for number in workers if number and shards % number]
        if wrong:
            divisors = [number for number in range(1, shards + 1) if shards % number == 0]
            problems.append(
                Problem(
                    f"{path}.streaming.shards",
                    f"{shards} shards cannot be shared evenly by {wrong[0]} workers",
                    shards,
                    allowed=f"a multiple of {math.lcm(*filter(None, workers))}",
                    mend=f"or set cluster.workers to one of {one_of(map(str, divisors), limit=20)}",
                )
            )
    return problems


def shards_fit_workers(job: WithData) -> list[Problem]:
    """The workers of the job can share the shards."""
    return workers_that_cannot_read(job.data, job.cluster.numbers_of_workers)


def streams_are_files(job: WithData) -> list[Problem]:
    """Only files of formats with row groups can be read piece by piece."""
    problems = []
    for path, section in _streamed(job.data):
        name = name_of(section.source)
        if not is_file_source(name, section.format):
            message = "has no effect on a dataset plugin, which makes its table at once"
            problems.append(Problem(f"{path}.streaming", message, name, mend="remove it"))
        elif "csv" in (section.format, splitext(name)[1].lower().lstrip(".")):
            problems.append(
                Problem(
                    f"{path}.streaming",
                    "csv files cannot be streamed: they have no row groups, by which any part "
                    "could be read alone",
                    name,
                    allowed="parquet, or arrow files",
                    mend="write the table as parquet",
                )
            )
    return problems


def windows_hold_all_shards(job: WithData) -> list[Problem]:
    """A window has a row of every shard."""
    return [
        Problem(
            f"{path}.streaming.window",
            f"is less than one row for each of the {spec.shards} shards",
            spec.window,
            allowed=f"at least {spec.shards}",
        )
        for path, section in _streamed(job.data)
        if (spec := section.streaming) and spec.window is not None and spec.window < spec.shards
    ]


def _column_problems(path: str, column: ColumnSpec) -> Iterator[Problem]:
    unseen = "which takes a pass over all of a table, and a streamed one is not read beforehand"
    if column.type == "group":
        message = "streamed rows are not kept together by group"
        yield Problem(f"{path}.type", message, "group", mend="leave data.streaming out")
    if column.type in ("class", "tokens") and column.classes is None:
        what = "the number of classes or their labels" if column.type == "class" else "the size"
        mend = f"say {what}{'' if column.type == 'class' else ' of the vocabulary'}: classes: ..."
        yield Problem(f"{path}.classes", f"is found out otherwise, {unseen}", mend=mend)
    if column.type == "tokens" and column.length is None:
        mend = "say how many tokens a row has after padding and cutting: length: ..."
        yield Problem(f"{path}.length", f"is found out otherwise, {unseen}", mend=mend)


def streamed_columns_say_all(job: WithData) -> list[Problem]:
    """What a table tells when it is read whole has to be declared."""
    return [
        problem
        for path, section in _streamed(job.data)
        for name, column in section.columns.items()
        for problem in _column_problems(f"{path}.columns.{name}", column)
    ]


def streams_are_not_stratified(job: WithData) -> list[Problem]:
    """Of a streamed source whole row groups are held out."""
    if job.data.streaming is None:
        return []
    held: list[tuple[str, HeldOut | None]] = [
        ("data.validation", job.data.validation),
        ("data.test", job.data.test),
    ]
    return [
        Problem(
            f"{path}.stratify",
            "whole row groups are held out of a streamed source, which class proportions do not "
            "allow",
            True,
            mend="remove it, or give this split a source of its own",
        )
        for path, part in held
        if part is not None and part.fraction is not None and part.stratify
    ]


READING_RULES = (streams_are_files, streamed_columns_say_all, streams_are_not_stratified)
"""Rules on streamed data of a job of any kind."""

STREAMING_RULES = (shards_fit_workers, windows_hold_all_shards, *READING_RULES)
"""Rules on streamed data of a job that trains."""
