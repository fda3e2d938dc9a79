"""What the overrides of one phase make of a job's assembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainwright.data.rows import Rows
from trainwright.data.table import Column, Table
from trainwright.data.transforms import TransformChain
from trainwright.errors import MISSING, JobError, PluginError, Problem
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Plan
from trainwright.suggest import nearest, one_of
from trainwright.training.assembly import Assembly
from trainwright.training.grouping import refuse_other_groups
from trainwright.training.optimization import fresh_optimizer, schedule_of
from trainwright.training.timetable import Timetable


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """What a call of ``fit`` asks for; None leaves the job's own (see ``strategy.Fit``)."""

    epochs: int | None = None
    steps: int | None = None
    optimizer: Mapping[str, Any] | None = None
    schedule: Mapping[str, Any] | None = None
    objective: nn.Module | None = None
    source: str | Table | None = None
    batch_size: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the phase is the job's own training."""
        return all(value is None for value in vars(self).values())


def phase_assembly(assembly: Assembly, base: Path, phase: str, wanted: Overrides) -> Assembly:
    """The assembly of one phase: the job's own where nothing is overridden.

    Args:
        assembly: of the job.
        base: folder of the job file.
        phase: its name.
        wanted: the overrides.

    Raises:
        InputError: an override cannot be; the problem names the phase and the override.
    """
    if wanted.is_empty:
        return assembly
    path = f"phase {phase}"
    plan = _plan(assembly.plan, wanted, path)
    table, transforms = _samples(wanted.source, assembly, f"{path}.source")
    splits = replace(assembly.splits, train=table)
    job, context = assembly.job, assembly.context
    num_groups = assembly.orders.num_groups(splits.train)
    try:
        timetable = Timetable.of(
            plan, job.training, len(splits.train), context.cut_for, num_groups
        ).shared_by(context.world_size)
    except ValueError as error:
        raise JobError(Problem(path=path, message=str(error))) from None
    factor = schedule_of(job, base, plan.schedule, timetable, f"{path}.schedule")
    terms = assembly.terms
    if wanted.objective is not None:
        terms = _terms(wanted.objective, path)
        refuse_other_groups(terms, terms.group and assembly.orders.group)
    return replace(
        assembly,
        splits=splits,
        plan=plan,
        timetable=timetable,
        factor=factor,
        terms=terms,
        train_transforms=transforms,
    )


def phase_optimizer(assembly: Assembly, base: Path, phase: str) -> torch.optim.Optimizer:
    """A fresh optimizer with a phase's options, see ``fresh_optimizer``."""
    path = f"phase {phase}.optimizer"
    return fresh_optimizer(assembly.job, base, assembly.plan.optimizer, assembly.groups, path)


def _plan(plan: Plan, wanted: Overrides, path: str) -> Plan:
    for name in ("epochs", "steps", "batch_size"):
        value = getattr(wanted, name)
        if value is not None and (not isinstance(value, int) or value < 1):
            problem = Problem(f"{path}.{name}", "must be a whole number of at least 1", value)
            raise JobError(problem)
    if wanted.steps is not None and wanted.epochs is not None:
        raise JobError(Problem(path, "give epochs or steps, not both"))
    if wanted.steps is not None or wanted.epochs is not None:
        plan = replace(plan, epochs=wanted.epochs, steps=wanted.steps)
    if wanted.batch_size is not None:
        plan = replace(plan, batch_size=wanted.batch_size)
    if wanted.optimizer is not None:
        plan = replace(plan, optimizer={**plan.optimizer, **wanted.optimizer})
    if wanted.schedule is not None:
        # The options of one schedule mean nothing to another.
        kept = {} if "name" in wanted.schedule else plan.schedule
        plan = replace(plan, schedule={**kept, **wanted.schedule})
    return plan


def _samples(
    source: str | Table | None, assembly: Assembly, path: str
) -> tuple[Rows, TransformChain]:
    """The samples of a phase, with the transforms that make batches of them."""
    splits = assembly.splits
    if source is None or source == "data":
        return splits.train, splits.transforms
    if isinstance(source, Table):
        _refuse_others(source.columns, splits.train.columns, path)
        return source, splits.transforms
    if source not in splits.others:
        known = ["data", *splits.others]
        message = "the job has no source of this name"
        mend = f"add data.sources.{source}: {{source: ...}}"
        problem = Problem(path, message, source, one_of(known), nearest(source, known), mend)
        raise JobError(problem)
    table, transforms = splits.others[source]
    _refuse_others(transforms.columns, splits.columns, path)
    return table, transforms


def _refuse_others(have: Mapping[str, Column], wanted: Mapping[str, Column], path: str) -> None:
    problems = [
        Problem(
            path=path,
            message=f"column {name!r} is not as in the training data",
            got=str(have[name]) if name in have else MISSING,
            allowed=str(column),
        )
        for name, column in wanted.items()
        if have.get(name) != column
    ]
    if problems:
        raise JobError(problems)


def _terms(objective: nn.Module, path: str) -> WeightedSum:
    if not isinstance(objective, nn.Module):
        raise PluginError(
            Problem(f"{path}.objective", "is not a torch.nn.Module", got=type(objective).__name__)
        )
    if named := [name for name, _ in objective.named_parameters()]:
        raise PluginError(
            Problem(
                f"{path}.objective",
                "the objective of a phase cannot have parameters: the engine owns those it was "
                "made with",
                got=", ".join(named),
                mend="put them into the job's objective, or into the model",
            )
        )
    return WeightedSum([Term(objective, type(objective).__name__)])
