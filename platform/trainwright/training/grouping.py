"""Objectives that couple the samples of a group: the column that says which belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainwright.data.hashes import Ints
from trainwright.data.rows import Rows
from trainwright.errors import JobError, PluginError, Problem
from trainwright.job.models import ObjectiveSpec, TrainJob
from trainwright.objective import WeightedSum
from trainwright.objective.denominator import GROUP
from trainwright.plugins import find
from trainwright.suggest import nearest, one_of


def group_column(job: TrainJob, base: Path, table: Rows) -> str | None:
    """The column whose groups updates, shares and micro-batches must keep whole; None for none.

    Raises:
        JobError: the data lacks the column, or it holds no ids, or two objectives differ.
        PluginError: there is no such objective.
    """
    many = isinstance(job.objective, list)
    named = {
        f"objective.{index}" if many else "objective": column
        for index, spec in enumerate(job.objectives)
        if (column := _column_of(spec, base)) is not None
    }
    if not named:
        return None
    path, column = next(iter(named.items()))
    if len(set(named.values())) > 1:
        message = f"two objectives keep different groups whole: {one_of(sorted(named.values()))}"
        raise JobError(Problem("objective", message, mend="give both the same column by bind"))
    integers = [
        n for n, c in table.columns.items() if not c.shape and not c.dtype.is_floating_point
    ]
    if column not in integers:
        raise JobError(
            Problem(
                f"{path}.bind",
                f"the objective keeps the groups of column '{column}' whole, and the data has no "
                "such column of whole numbers",
                allowed=one_of(integers),
                nearest=nearest(column, integers),
                mend=f"bind it by name, e.g. {path}: {{bind: {{{column}: my_column}}}}",
            )
        )
    return column


def refuse_cut_groups(job: TrainJob, groups: Ints | None) -> None:
    """A micro-batch must have room for the largest group.

    Raises:
        JobError: it has not.
    """
    micro = job.training.micro_batch_size
    if groups is None or micro is None:
        return
    largest = int(np.unique(groups, return_counts=True)[1].max())
    if largest > micro:
        raise JobError(
            Problem(
                "training.micro_batch_size",
                f"the objective keeps groups whole, and the largest has {largest} samples",
                got=micro,
                allowed=f"at least {largest}, or leave it out",
            )
        )


def refuse_other_groups(terms: WeightedSum, column: str | None) -> None:
    """Hold what the built objectives say against what their classes said.

    Raises:
        PluginError: an objective says it on the instance only, where it is seen too late.
    """
    if terms.group != column:
        message = f"an objective couples the groups of {terms.group!r}, which is seen too late"
        mend = (
            "set `couples` and `group` on its class (or `group` by an option), and name an "
            "objective in the job that couples the same groups"
        )
        raise PluginError(Problem("objective", message, got=column, mend=mend))


def _column_of(spec: ObjectiveSpec, base: Path) -> str | None:
    factory = find("objectives", spec.name, base, path="objective").factory
    if getattr(factory, "couples", "sample") != "group":
        return None
    name = str(spec.options.get("group", getattr(factory, "group", GROUP)))
    return spec.bind.get(name, name)
