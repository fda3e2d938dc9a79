"""What the overrides of one phase make of a job's assembly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainwright.data.table import Table
from trainwright.errors import MISSING, JobError, PluginError, Problem
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Plan
from trainwright.training.assembly import Assembly
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
    splits = assembly.splits
    if wanted.source is not None:
        splits = replace(splits, train=_table(wanted.source, assembly, path))
    job, world_size = assembly.job, assembly.context.world_size
    try:
        timetable = Timetable.of(plan, job.training, len(splits.train), world_size)
    except ValueError as error:
        raise JobError(Problem(path=path, message=str(error))) from None
    factor = schedule_of(job, base, plan.schedule, timetable, f"{path}.schedule")
    terms = assembly.terms if wanted.objective is None else _terms(wanted.objective, path)
    return replace(
        assembly, splits=splits, plan=plan, timetable=timetable, factor=factor, terms=terms
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


def _table(source: str | Table, assembly: Assembly, path: str) -> Table:
    if isinstance(source, str):
        raise JobError(Problem(f"{path}.source", "the job has no source of this name", source))
    columns = assembly.splits.train.columns
    problems = [
        Problem(
            path=f"{path}.source",
            message=f"column {name!r} is not as in the training data",
            got=MISSING if name not in source.columns else str(source.columns[name]),
            allowed=str(wanted),
        )
        for name, wanted in columns.items()
        if source.columns.get(name) != wanted
    ]
    if problems:
        raise JobError(problems)
    return source


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
