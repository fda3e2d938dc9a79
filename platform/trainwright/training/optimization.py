"""The optimizer and the schedule of a job, or of one of its phases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from trainwright.errors import JobError, PluginError, Problem
from trainwright.job.models import PluginSpec, TrainJob
from trainwright.optimizers import build_optimizer
from trainwright.plugins import check_options, find
from trainwright.strategy import ParameterGroup, Plan
from trainwright.training.plugins import build_plugin
from trainwright.training.timetable import Timetable

Options = Mapping[str, Any]


def optimizer_of(
    job: TrainJob, base: Path, plan: Plan, groups: Sequence[ParameterGroup]
) -> torch.optim.Optimizer:
    """The job's optimizer over named parameters.

    Raises:
        PluginError: it refuses its options or the groups.
    """
    plugin = find("optimizers", job.optimizer.name, base, path="optimizer.name")
    bare = [{**group, "params": [p for _, p in group["params"]]} for group in groups]
    return build_optimizer(plugin, bare, plan.optimizer)


def fresh_optimizer(
    job: TrainJob, base: Path, options: Options, groups: Sequence[Options], path: str
) -> torch.optim.Optimizer:
    """An optimizer as one that has not moved anything, over one placeholder in each group.

    What :func:`~trainwright.engine.restarting.restart_optimizer` takes options and the state at
    the start from.

    Args:
        job: names the optimizer.
        base: folder of the job file.
        options: of the optimizer, before those of single groups.
        groups: options of each parameter group.
        path: who asks, for messages.

    Raises:
        JobError: another optimizer is asked for.
        PluginError: the optimizer refuses its options.
    """
    name = options.get("name", job.optimizer.name)
    if name != job.optimizer.name:
        raise JobError(
            Problem(
                path=f"{path}.name",
                message="a phase cannot change the optimizer, only its options: "
                "ZeRO has laid out its state for one",
                got=name,
                allowed=job.optimizer.name,
            )
        )
    plugin = find("optimizers", job.optimizer.name, base, path=path)
    wanted = {key: value for key, value in options.items() if key != "name"}
    checked, problems = check_options(plugin, wanted, path)
    if problems:
        raise PluginError(problems)
    placeholders = [torch.nn.Parameter(torch.zeros(2, 2)) for _ in groups]
    bare = [{**group, "params": [p]} for group, p in zip(groups, placeholders, strict=True)]
    return build_optimizer(plugin, bare, checked, path)


def schedule_of(
    job: TrainJob, base: Path, options: Options, timetable: Timetable, path: str = "schedule"
) -> Callable[[int], float]:
    """Update -> factor of the base rate, over the whole of a timetable.

    Args:
        job: names the schedule, where ``options`` does not.
        base: folder of the job file.
        options: of the schedule; ``name`` chooses another one.
        timetable: its length.
        path: who asks, for messages.

    Raises:
        PluginError: unknown, or its options are wrong.
    """
    spec = PluginSpec.model_validate({"name": job.schedule.name, **options})
    schedule = build_plugin("schedules", spec, base, path)
    bound = schedule.bind(timetable.total_steps, timetable.steps_per_epoch)
    return cast("Callable[[int], float]", bound)
