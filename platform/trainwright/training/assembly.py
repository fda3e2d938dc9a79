"""From a job to the objects that train: data, model, objective, strategies, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainwright.data.facts import data_facts
from trainwright.data.loading import Splits
from trainwright.data.transforms import TransformChain
from trainwright.engine.module import TrainModule, public_name
from trainwright.errors import JobError, PluginError, Problem
from trainwright.job.models import PluginSpec, TrainJob
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context, ParameterGroup, Plan, Strategy
from trainwright.strategy.compose import apply_model, apply_objective, apply_parameters, apply_plan
from trainwright.strategy.tables import SampleTables
from trainwright.training.auxiliary import Auxiliaries
from trainwright.training.construction import (
    WHOLE,
    Construction,
    build_model,
    refuse_scalars,
)
from trainwright.training.further import build_auxiliaries, build_streams, refusals
from trainwright.training.grouping import group_column, refuse_cut_groups, refuse_other_groups
from trainwright.training.optimization import optimizer_of, schedule_of
from trainwright.training.orders import Orders
from trainwright.training.plugins import build_plugin
from trainwright.training.randomness import seed_all
from trainwright.training.streaming import refuse_streaming
from trainwright.training.streams import Streams
from trainwright.training.timetable import Timetable


@dataclass
class Assembly:
    """Everything of a job that training needs, before an engine owns it.

    Attributes:
        job: what was asked for.
        splits: tables and fitted transforms.
        context: what strategies may know.
        strategies: short name -> strategy, in job order.
        plan: quantities of training after all strategies have changed them.
        timetable: when things happen.
        terms: the objective's terms, unwrapped.
        module: model and objective as one module.
        optimizer: over the module's trainable parameters.
        factor: update -> factor of the base learning rate.
        orders: the order of the samples in each epoch.
        groups: options of each parameter group that differ from the optimizer's own.
        auxiliaries: further models of the strategies.
        streams: further data of the strategies.
        train_transforms: those of the training samples, where a phase has some of its own.
    """

    job: TrainJob
    splits: Splits
    context: Context
    strategies: dict[str, Strategy]
    plan: Plan
    timetable: Timetable
    terms: WeightedSum
    module: TrainModule
    optimizer: torch.optim.Optimizer
    factor: Callable[[int], float]
    orders: Orders
    groups: list[dict[str, Any]] = field(default_factory=list)
    auxiliaries: Auxiliaries = field(default_factory=Auxiliaries)
    streams: Streams = field(default_factory=lambda: Streams({}))
    train_transforms: TransformChain | None = None

    @property
    def parts(self) -> dict[str, Any]:
        """What checkpoints keep besides weights, optimizer and strategies, by name."""
        return {"tables": self.context.tables, "order": self.orders}


def assemble(
    job: TrainJob,
    base: Path,
    splits: Splits,
    context: Context,
    construction: Construction = WHOLE,
) -> Assembly:
    """Build all objects of a job; equal on every worker, from the job's seed.

    Args:
        job: the validated job.
        base: folder against which plugin files are found.
        splits: the loaded data.
        context: seed, rank, world size and device; the rest is filled in here.
        construction: what they are built for.

    Raises:
        InputError: a plugin refuses its options, or parts do not fit together.
    """
    strategies = _strategies(job, base)
    hooks = list(strategies.values())
    plan = _planned(job, strategies)
    orders = _orders(job, base, splits, hooks)
    timetable = _timetable(plan, job, splits, context, orders)
    context.facts = data_facts(splits.columns, job.model.inputs)
    context.batch_size = plan.batch_size
    context.steps_per_epoch, context.total_steps = timetable.steps_per_epoch, timetable.total_steps
    context.tables = SampleTables(splits.train.num_ids, context.device)
    seed_all(job.seed, "init")
    with construction.noted():
        model = build_model(job, base, splits, context.facts, construction)
        for index, (name, strategy) in enumerate(strategies.items()):
            with refusals(f"strategies.{index}", name):
                model.model = apply_model([strategy], model.model, context)
        auxiliaries = build_auxiliaries(strategies, model, context)
        terms = WeightedSum(
            [
                Term(_objective(spec, base, context.facts, path), name, spec.weight, spec.bind)
                for spec, name, path in _named_objectives(job)
            ]
        )
        module = TrainModule(model, _wrapped(terms, strategies))
    construction.make_rest(module, auxiliaries)
    streams = build_streams(strategies if construction.trains else {}, splits, plan, context)
    refuse_other_groups(terms, orders.group)
    refuse_scalars(job, module)
    groups = _grouped(module, strategies)
    optimizer = optimizer_of(job, base, plan, groups)
    factor = schedule_of(job, base, plan.schedule, timetable)
    options = [{key: v for key, v in group.items() if key != "params"} for group in groups]
    return Assembly(
        job,
        splits,
        context,
        strategies,
        plan,
        timetable,
        terms,
        module,
        optimizer,
        factor,
        orders,
        options,
        auxiliaries,
        streams,
    )


def _planned(job: TrainJob, strategies: Mapping[str, Strategy]) -> Plan:
    """The job's quantities of training, as the strategies leave them."""
    plan = _plan(job)
    for index, (name, strategy) in enumerate(strategies.items()):
        with refusals(f"strategies.{index}", name):
            plan = apply_plan([strategy], plan)
    return plan


def _wrapped(terms: WeightedSum, strategies: Mapping[str, Strategy]) -> nn.Module:
    """The objective inside the strategies' wrappers, the first in the job outermost."""
    objective: nn.Module = terms
    for index, name in reversed(list(enumerate(strategies))):
        with refusals(f"strategies.{index}", name):
            objective = apply_objective([strategies[name]], objective)
    return objective


def _grouped(module: nn.Module, strategies: Mapping[str, Strategy]) -> list[ParameterGroup]:
    """The optimizer's parameter groups, as the strategies leave them."""
    groups = _groups(module)
    for index, (name, strategy) in enumerate(strategies.items()):
        with refusals(f"strategies.{index}", name):
            groups = apply_parameters([strategy], groups)
    return groups


def _strategies(job: TrainJob, base: Path) -> dict[str, Strategy]:
    found: dict[str, Strategy] = {}
    for index, spec in enumerate(job.strategies):
        strategy = build_plugin("strategies", spec, base, f"strategies.{index}")
        if not isinstance(strategy, Strategy):
            raise PluginError(
                Problem(
                    path=f"strategies.{index}.name",
                    message="is not a strategy: it does not derive from trainwright.Strategy",
                    got=spec.name,
                )
            )
        found[spec.name] = strategy
    return found


def _plan(job: TrainJob) -> Plan:
    training = job.training
    return Plan(
        epochs=None if training.steps is not None else training.epochs or 1,
        steps=training.steps,
        batch_size=job.data.batch_size,
        max_grad_norm=training.max_grad_norm,
        optimizer=job.optimizer.options,
        schedule=job.schedule.options,
        optimizer_name=job.optimizer.name,
    )


def _orders(job: TrainJob, base: Path, splits: Splits, hooks: Sequence[Strategy]) -> Orders:
    group = group_column(job, base, splits.train)
    refuse_streaming(job, splits.train, hooks, group)
    orders = Orders(job.seed, job.data.shuffle, hooks, group)
    refuse_cut_groups(job, orders.groups(splits.train))
    return orders


def _timetable(
    plan: Plan, job: TrainJob, splits: Splits, context: Context, orders: Orders
) -> Timetable:
    try:
        return Timetable.of(
            plan,
            job.training,
            len(splits.train),
            context.cut_for,
            orders.num_groups(splits.train),
        ).shared_by(context.world_size)
    except ValueError as error:
        raise JobError(Problem(path="data.batch_size", message=str(error))) from None


def _named_objectives(job: TrainJob) -> list[tuple[Any, str, str]]:
    """(spec, unique name, path) of each objective."""
    many = isinstance(job.objective, list)
    named = []
    seen: dict[str, int] = {}
    for index, spec in enumerate(job.objectives):
        name = spec.name.rsplit(":", 1)[-1].rsplit(".", 1)[-1]
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}_{seen[name]}"
        named.append((spec, unique, f"objective.{index}" if many else "objective"))
    return named


def _objective(spec: PluginSpec, base: Path, facts: Mapping[str, Any], path: str) -> nn.Module:
    objective = build_plugin("objectives", spec, base, path, facts)
    if not isinstance(objective, nn.Module):
        raise PluginError(
            Problem(path=f"{path}.name", message="does not give a torch.nn.Module", got=spec.name)
        )
    if getattr(objective, "reduction", "mean") == "none":
        raise PluginError(
            Problem(
                path=f"{path}.reduction",
                message="an objective must give one number per batch",
                got="none",
                allowed="mean, sum",
            )
        )
    return objective


def _groups(module: nn.Module) -> list[ParameterGroup]:
    named = [
        (public_name(name), parameter)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    ]
    if not named:
        raise JobError(Problem(path="model.name", message="the model has nothing to train"))
    return [{"params": named}]
