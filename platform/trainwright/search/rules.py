"""What the form of a sweep cannot say: its space, its constraints, and what goes with what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from trainwright.durations import Duration
from trainwright.errors import JobError, Problem
from trainwright.search.jobs import RHYTHM, SweepJobFile
from trainwright.search.space.constraints import Constraint, parse_constraints
from trainwright.search.space.names import unknown_names
from trainwright.search.space.options import Options
from trainwright.search.space.space import Space
from trainwright.search.spec import GridSpec, PbtSpec, RandomSpec, SweepJob, TpeSpec
from trainwright.suggest import one_of

TRIED = ("train", "procedure", "federated")
"""Kinds of job that a sweep can try."""

_WITH_STATE = ("optimizer", "optimizer.name", "strategies")

_VARIED = ("optimizer", "schedule", "objective", "strategies", "training.max_grad_norm")
"""What a member of a population may change between two checkpoints of one model."""


@dataclass(frozen=True)
class Parsed:
    """The space of a sweep, read."""

    space: Space
    constraints: tuple[Constraint, ...]


def parsed(spec: SweepJob) -> Parsed:
    """The space and the constraints of a sweep.

    Raises:
        JobError: they are none, with every problem.
    """
    problems: list[Problem] = []
    space: Space | None = None
    constraints: tuple[Constraint, ...] = ()
    try:
        space = Space.parse(spec.space)
    except JobError as error:
        problems += error.problems
    try:
        constraints = parse_constraints(spec.constraints)
    except JobError as error:
        problems += error.problems
    if space is not None and not problems:
        problems += unknown_names(constraints, space, spec.base)
    if space is None or problems:
        raise JobError(problems)
    return Parsed(space, constraints)


def broken_rules(job: SweepJobFile) -> list[Problem]:
    """Every problem of a sweep whose form is right."""
    kind = job.spec.base.get("kind", "train")
    if kind not in TRIED:
        message = "only single runs can be the trials of a sweep"
        return [Problem("base.kind", message, kind, one_of(TRIED))]
    try:
        space = parsed(job.spec).space
    except JobError as error:
        return error.problems
    return [problem for rule in _RULES for problem in rule(job.spec, space)]


def _has_parameters(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if not space.parameters:
        message = "every value is fixed, so that there is nothing to search"
        yield Problem("space", message, allowed="at least one domain: {loguniform: [1e-4, 1]}")


def _sets_nothing_of_its_own(spec: SweepJob, space: Space) -> Iterator[Problem]:
    for path in spec.space:
        if path.partition(".")[0] in ("name", "kind", "version", "storage", "tracking", "extends"):
            message = "the sweep decides this for all its trials"
            yield Problem(f"space.{path}", message, mend="leave it out of the space")


def _transfer_keeps_what_was_found(spec: SweepJob, space: Space) -> Iterator[Problem]:
    for path, value in spec.transfers.items():
        place = f"transfer.{path}"
        if path.partition(".")[0] in ("name", "kind", "version", "extends"):
            message = "the transferred job is named by the sweep, and is of the kind of its base"
            yield Problem(place, message, mend="leave it out")
        for found in (p for p in spec.space if f"{p}.".startswith(f"{path}.")):
            message = f"would undo what the sweep finds for {found}"
            yield Problem(place, message, value, mend="leave one of the two out")


def _grid_is_discrete(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if not isinstance(spec.algorithm, GridSpec):
        return
    for parameter in space.parameters:
        if parameter.domain.count is None:
            yield Problem(
                f"space.{parameter.name}",
                "has no end of values, so that no grid has them all",
                parameter.domain.describe(),
                mend="list them by choice, or in steps by quantised; or set algorithm: random",
            )


def _tpe_has_no_grid(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if isinstance(spec.algorithm, TpeSpec):
        for parameter in space.grid_parameters:
            message = "tpe decides itself what is tried next, and crosses nothing with a grid"
            yield Problem(f"space.{parameter.name}", message, "grid", mend="use choice")


def _population(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if not isinstance(spec.scheduler, PbtSpec):
        return
    if not isinstance(spec.algorithm, RandomSpec):
        message = "the members of a population are drawn at random, and vary from there"
        yield Problem("algorithm", message, spec.algorithm.name, allowed="random")
    if spec.trials == 1:
        message = "a population has at least two members, which are compared"
        yield Problem("trials", message, spec.trials, mend="leave it out for 20 members")
    for path in spec.space:
        if not any(path == varied or path.startswith(f"{varied}.") for varied in _VARIED):
            message = "cannot change between two checkpoints of one training, as a population does"
            yield Problem(f"space.{path}", message, allowed=one_of(_VARIED))
    if spec.base.get("kind", "train") != "train":
        message = "a population trains models by steps"
        yield Problem("scheduler", message, "pbt", mend="take asha or median")
    yield from _out_of_step(spec.base.get("training"), spec.scheduler.every)
    for parameter in space.parameters:
        if isinstance(parameter.domain, Options) and parameter.name in _WITH_STATE:
            message = "members copy its state from one another, so that all have the same one"
            mend = f"search its options: {parameter.name}.OPTION"
            yield Problem(f"space.{parameter.name}", message, mend=mend)


def _out_of_step(training: Any, every: Duration) -> Iterator[Problem]:
    """Written rhythms of the base at which members cannot be compared or copied."""
    for name in RHYTHM if isinstance(training, dict) else ():
        try:
            written = Duration.parse(str(training[name]))
        except (KeyError, ValueError):  # not written, or told by the check of the job
            continue
        times = every.amount / written.amount
        if written.unit != every.unit or round(times) < 1 or abs(times - round(times)) > 1e-9:
            message = f"members are compared every {every}, which is no multiple of it"
            mend = f"leave it out, and it is {every}"
            yield Problem(f"base.training.{name}", message, str(written), mend=mend)


def _scheduler_knows_the_way(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if spec.scheduler is not None and spec.base.get("kind") == "procedure":
        message = "a procedure has no evaluations on its way by which it could be judged"
        yield Problem("scheduler", message, spec.scheduler.name, mend="leave it out")


def _scheduler_gets_to_act(spec: SweepJob, space: Space) -> Iterator[Problem]:
    if spec.scheduler is None:
        return
    begins = spec.scheduler.every if isinstance(spec.scheduler, PbtSpec) else spec.scheduler.grace
    is_federated = spec.base.get("kind") == "federated"  # whose rounds count as steps and epochs
    training = spec.base.get("federation" if is_federated else "training")
    unit = "rounds" if is_federated else begins.unit
    length = training.get(unit) if isinstance(training, dict) else None
    is_searched = any(path.startswith("training") for path in spec.space)
    if isinstance(length, int) and begins.amount >= length and not is_searched:
        key = "every" if isinstance(spec.scheduler, PbtSpec) else "grace"
        message = f"no trial gets beyond it, for training ends after {length} {begins.unit}"
        mend = "take less, or leave out the scheduler"
        yield Problem(f"scheduler.{key}", message, str(begins), mend=mend)


def _goals_differ(spec: SweepJob, space: Space) -> Iterator[Problem]:
    names = [goal.name for goal in spec.goals]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Problem(f"metric.{index}", "is named twice", name)


_RULES = (
    _has_parameters,
    _sets_nothing_of_its_own,
    _transfer_keeps_what_was_found,
    _grid_is_discrete,
    _tpe_has_no_grid,
    _population,
    _scheduler_knows_the_way,
    _scheduler_gets_to_act,
    _goals_differ,
)
