"""The samples of a procedure's job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from torch import Tensor

from trainwright.data.loading import Splits, load_splits
from trainwright.data.rows import Rows
from trainwright.data.table import Column, Table
from trainwright.errors import InputError, Problem
from trainwright.job.models import DataSpec
from trainwright.suggest import one_of

SPLITS = ("train", "validation", "test")


class JobData:
    """The data section of a job: tables and batches, read when they are first asked for.

    It travels to other processes as a description, and is read there again.

    Args:
        spec: the section, its paths absolute.
        base: folder of the job file.
        seed: of the job.
    """

    def __init__(self, spec: DataSpec, base: Path, seed: int) -> None:
        self._spec = spec
        self._base = base
        self._seed = seed

    @cached_property
    def splits(self) -> Splits:
        """All of it: tables, fitted transforms, further sources."""
        return load_splits(self._spec, base=self._base, workers=0, seed=self._seed)

    @property
    def columns(self) -> Mapping[str, Column]:
        """What the columns of a batch hold after the transforms."""
        return self.splits.columns

    def table(self, split: str = "train") -> Table:
        """The samples of ``train``, ``validation`` or ``test``, before the transforms.

        Raises:
            InputError: the job has no such split, or streams it.
        """
        return in_memory(table_of(self.splits, split))

    def batches(
        self, split: str = "train", batch_size: int | None = None
    ) -> Iterator[dict[str, Tensor]]:
        """All samples of a split in their order, with the transforms of evaluation, on the CPU.

        Args:
            split: ``train``, ``validation`` or ``test``.
            batch_size: samples at a time; default: ``data.batch_size``. The last may be smaller.

        Raises:
            InputError: the job has no such split.
        """
        return batches_of(self.splits, split, batch_size or self._spec.batch_size)

    def __reduce__(self) -> tuple[Any, ...]:
        return _arrived, (self._spec.model_dump_json(by_alias=True), str(self._base), self._seed)


def in_memory(rows: Rows) -> Table:
    """The rows as a table in memory.

    Raises:
        InputError: they are streamed.
    """
    if isinstance(rows, Table):
        return rows
    message = "the table is streamed, and all of its columns are needed at once"
    raise InputError(
        Problem("data.streaming", message, mend="read it by batches(), or leave it out")
    )


def table_of(splits: Splits, split: str) -> Rows:
    """One of the tables of a job; refused if it has no such split."""
    table: Rows | None = getattr(splits, split) if split in SPLITS else None
    if table is None:
        there = [name for name in SPLITS if getattr(splits, name) is not None]
        raise InputError(Problem("data", "there is no such split", split, allowed=one_of(there)))
    return table


def batches_of(splits: Splits, split: str, batch_size: int) -> Iterator[dict[str, Tensor]]:
    """The samples of a split in their order, with the transforms of evaluation."""
    table = table_of(splits, split)
    return (
        splits.transforms(table.take(rows), 0, training=False) for rows in table.chunks(batch_size)
    )


@lru_cache(maxsize=4)
def _arrived(spec: str, base: str, seed: int) -> JobData:
    """In another process: read once for all items that are worked on there."""
    return JobData(DataSpec.model_validate_json(spec), Path(base), seed)
