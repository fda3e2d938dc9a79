"""How the model of a job comes into being: whole, or without its weights, which follow in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from trainwright.data.facts import data_facts, input_column
from trainwright.data.loading import Splits
from trainwright.engine import engine_name
from trainwright.engine.deferred import Deferred
from trainwright.engine.module import NamedModel, TrainModule
from trainwright.errors import JobError, PluginError, Problem
from trainwright.job.models import TrainJob
from trainwright.objective import Argument, arguments_of
from trainwright.training.auxiliary import Auxiliaries
from trainwright.training.plugins import build_plugin
from trainwright.training.starting import Place, put_in_place


@dataclass(frozen=True)
class Construction:
    """What a job's objects are built for.

    Attributes:
        weights: starting weights of the model, before strategies change it.
        deferred: notes how weights are made, for an engine that keeps a part of each; None makes
            them at once.
        trains: False leaves out the streams, whose data a trained model does not need.
    """

    weights: Place | None = None
    deferred: Deferred | None = None
    trains: bool = True

    def noted(self) -> AbstractContextManager[Any]:
        """Inside it the model is built."""
        return nullcontext() if self.deferred is None else self.deferred

    def make_rest(self, module: TrainModule, auxiliaries: Auxiliaries) -> None:
        """Make what every worker holds whole: buffers, and the further models of strategies."""
        if self.deferred is None:
            return
        for auxiliary in auxiliaries.values():
            for tensor in (*auxiliary.module.parameters(), *auxiliary.module.buffers()):
                self.deferred.make(tensor)
        for buffer in module.buffers():
            self.deferred.make(buffer)


WHOLE = Construction()
"""Everything at once, for training."""


def is_sharded(job: TrainJob) -> bool:
    """Whether each worker of a job holds only a part of the model's weights."""
    stage = job.deepspeed.get("zero_optimization", {}).get("stage", 0)
    return engine_name(job) == "deepspeed" and stage == 3


def build_model(
    job: TrainJob,
    base: Path,
    splits: Splits,
    facts: Mapping[str, Any],
    construction: Construction,
) -> NamedModel:
    """The job's model with its inputs bound and its starting weights, before any strategy.

    Raises:
        InputError: the plugin refuses its options, or the weights do not fit.
    """

    def facts_of(option: str) -> Mapping[str, Any]:
        """What the column that the argument of this name reads says; else the job's facts."""
        column = job.model.inputs.get(option, option)
        named = {option: column} if column in splits.columns else job.model.inputs
        return data_facts(splits.columns, named)

    model = build_plugin("models", job.model, base, "model", facts, facts_of)
    if not isinstance(model, nn.Module):
        raise PluginError(
            Problem(path="model.name", message="does not give a torch.nn.Module", got=type(model))
        )
    if (weights := construction.weights) is not None:
        put_in_place(model, weights.open(), weights.skip, construction.deferred)
    inputs = _inputs(job, arguments_of(model.forward), splits)
    return NamedModel(model, inputs, job.model.outputs)


def _inputs(job: TrainJob, arguments: Sequence[Argument], splits: Splits) -> dict[str, str]:
    """The job's bindings, and the one input column for the one argument that has no match."""
    bind = dict(job.model.inputs)
    columns = splits.columns
    open_arguments = [
        a.name for a in arguments if not a.optional and a.name not in bind and a.name not in columns
    ]
    taken = {bind.get(a.name, a.name) for a in arguments}
    guess = input_column(columns)
    if len(open_arguments) == 1 and guess is not None and guess not in taken:
        bind[open_arguments[0]] = guess
    return bind


def refuse_scalars(job: TrainJob, module: TrainModule) -> None:
    """Refuse parameters of shape (), which no ZeRO stage above 0 can cut.

    Raises:
        JobError: there are some that are trained, or that stage 3 would cut though they are not.
    """
    scalars = [
        (name, parameter)
        for name, parameter in module.named_parameters()
        if parameter.dim() == 0 and (parameter.requires_grad or is_sharded(job))
    ]
    problems = [
        Problem(
            path="objective" if name.startswith("objective.") else "model.name",
            message="has a parameter of shape (), which cannot be sharded",
            got=name.split(".", 2 if name.startswith("model.model.") else 1)[-1],
            mend="give it shape (1,): nn.Parameter(torch.zeros(1)) instead of "
            "nn.Parameter(torch.tensor(0.0))",
        )
        for name, parameter in scalars
    ]
    if problems:
        raise JobError(problems)
