"""A sweep checked whole before anything starts: its space, its goals, examples of its trials."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from trainwright.compare.checked import Checked, check
from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.cluster_spec import Processes
from trainwright.job.identity import HASH_DIGITS, canonical
from trainwright.orchestration.prepare import storage_of
from trainwright.search.goals import Goal, Judge
from trainwright.search.jobs import SweepJobFile, TrialJob, TrialJobs
from trainwright.search.rules import parsed
from trainwright.search.space.options import Options
from trainwright.search.space.reading import Parameter
from trainwright.search.space.sampling import Sampler
from trainwright.search.space.space import Assignment, Space
from trainwright.search.spec import Goals, GridSpec, SweepJob
from trainwright.search.trials import DERIVED, labelled
from trainwright.storage import Folder
from trainwright.suggest import nearest, one_of
from trainwright.training.metrics import direction_of

MOST_EXAMPLES = 12
"""Jobs that are checked whole beforehand; further ones are checked by their form."""

DEFAULT_TRIALS = 20

MakeJob = Callable[[Mapping[str, Any], Mapping[str, str]], TrialJob]
"""Values of a trial and their places, to its job, or to what that is transferred to."""


@dataclass(frozen=True)
class Plan:
    """A sweep that will run.

    Attributes:
        job: the sweep.
        name: the name of its own run.
        storage: where all runs are kept.
        space: what is tried.
        sampler: draws from it, within the constraints.
        judge: what is good.
        jobs: makes the jobs of trials.
        example: one of them, checked whole.
        checked: what is known of it.
        clusters: what trials ask for, each once.
        most_trials: how many trials there will be at most; None for a whole grid.
    """

    job: SweepJobFile
    name: str
    storage: Folder
    space: Space
    sampler: Sampler
    judge: Judge
    jobs: TrialJobs
    example: TrialJob
    checked: Checked
    clusters: tuple[Processes, ...]
    most_trials: int | None

    @property
    def total_trials(self) -> int | None:
        """Trials that there will be, unless the space ends before; None where nobody knows."""
        known = [n for n in (self.most_trials, self.space.size) if n is not None]
        return min(known, default=None)

    @property
    def is_light(self) -> bool:
        """Whether a trial trains in one process, so that a process can train many of them."""
        return self.is_here and self.checked.shares_process

    @property
    def is_here(self) -> bool:
        """Whether a trial needs no workers of its own."""
        return bool(self.example.job.spec.cluster.max_workers == 0)


def make_plan(job: SweepJobFile) -> Plan:
    """Check a sweep whole.

    Raises:
        InputError: it cannot run; every problem has its place in the sweep's file.
    """
    spec, read = job.spec, parsed(job.spec)
    jobs = TrialJobs(job)
    sampler = Sampler(read.space, spec.seed, read.constraints, spec.base)
    examples = [one for one in examples_of(read.space) if sampler.fulfils(one)]
    examples = examples or [sampler.draw(0)]
    example, checked, clusters = _check_examples(jobs, jobs.make, read.space, examples)
    if spec.transfer:
        _check_examples(jobs, jobs.make_transferred, read.space, examples)
    judge = Judge(tuple(_goals(job, example, checked)))
    _refuse_blind_scheduler(job, judge.first, checked)
    trials = spec.trials if isinstance(spec.algorithm, GridSpec) else spec.trials or DEFAULT_TRIALS
    if trials is not None and not isinstance(spec.algorithm, GridSpec):
        trials *= len(sampler.combinations)
    return Plan(
        job=job,
        name=_name(spec, checked.name_of(example.job), judge),
        storage=storage_of(job),
        space=read.space,
        sampler=sampler,
        judge=judge,
        jobs=jobs,
        example=example,
        checked=checked,
        clusters=clusters,
        most_trials=trials,
    )


def _name(spec: SweepJob, example: str, judge: Judge) -> str:
    """What determines which trials there are, but for their number: more can be added later."""
    sections = ("space", "constraints", "algorithm", "scheduler", "seed")
    values = spec.model_dump(mode="json", include=set(sections))
    goals = [[goal.name, goal.highest, goal.at] for goal in judge.goals]
    text = canonical({**values, "example": example, "goals": goals})
    return f"{spec.name}-{hashlib.sha256(text.encode()).hexdigest()[:HASH_DIGITS]}"


def examples_of(space: Space) -> Iterator[Assignment]:
    """Assignments in which every option of every choice occurs, and both ends of every domain."""
    yield _with(space, {})
    for parameter in space.parameters:
        for value in _telling_values(parameter):
            yield _with(space, {**_needed(space, parameter), parameter.name: value})


def _telling_values(parameter: Parameter) -> list[Any]:
    if isinstance(parameter.domain, Options):
        return list(parameter.domain.values())
    if parameter.domain.kind in ("normal", "lognormal"):
        return [parameter.domain.from_unit(place) for place in (0.01, 0.99)]
    return [parameter.domain.from_unit(place) for place in (0.0, 1.0)]


def _needed(space: Space, parameter: Parameter) -> Assignment:
    """The choices that make a parameter active."""
    found: Assignment = {}
    while parameter.condition is not None:
        name, label = parameter.condition
        found[name] = label
        parameter = space.parameter(name)
    return found


def _with(space: Space, wanted: Assignment) -> Assignment:
    def ask(parameter: Parameter) -> Any:
        if parameter.name in wanted:
            return wanted[parameter.name]
        domain = parameter.domain
        first = next(iter(domain.values())) if isinstance(domain, Options) else None
        return domain.from_unit(0.5) if first is None else first

    return space.assign(ask)


def _check_examples(
    jobs: TrialJobs, make: MakeJob, space: Space, examples: Sequence[Assignment]
) -> tuple[TrialJob, Checked, tuple[Processes, ...]]:
    """Check jobs before any runs: all by their form, the ones that differ most whole.

    Raises:
        InputError: with every problem, each once.
    """
    made: list[tuple[TrialJob, Assignment]] = []
    problems: dict[str, Problem] = {}
    for assignment in examples:
        try:
            trial = make(space.changes(assignment), space.places(assignment))
            made.append((trial, assignment))
        except JobError as error:
            for problem in error.problems:
                problems.setdefault(f"{problem.path} {problem.message}", problem)
    if problems:
        raise JobError(jobs.sweep.document.sorted(problems.values()))
    whole = {tuple(_structure(space, one)): (trial, one) for trial, one in reversed(made)}
    found: list[tuple[TrialJob, Checked]] = []
    failed: list[InputError] = []
    for trial, assignment in islice(reversed(whole.values()), MOST_EXAMPLES):
        try:
            with trial.inner.told():
                found.append((trial, check(trial.job)))
        except InputError as error:
            failed.append(error)
            for problem in error.problems:
                # Of the trials that have it, the first one is named.
                key = f"{problem.path} {problem.message}"
                problems.setdefault(key, _of(jobs.sweep.locate(problem), assignment))
    if failed:
        raise type(failed[0])(jobs.sweep.document.sorted(problems.values())) from failed[0]
    return *found[0], _clusters(jobs, [trial for trial, _ in made])


def _clusters(jobs: TrialJobs, made: Sequence[TrialJob]) -> tuple[Processes, ...]:
    """What trials ask for, each once.

    Raises:
        JobError: some train in the process that others need for their workers.
    """
    clusters: list[Processes] = []
    for trial in made:
        if trial.job.spec.cluster not in clusters:
            clusters.append(trial.job.spec.cluster)
    if len({cluster.max_workers == 0 for cluster in clusters}) > 1:
        message = "some trials would train in this sweep's processes, others in their own"
        mend = "let cluster.workers be 0 for none of them, or leave it out"
        place = next((p for p in jobs.sweep.spec.space if p.startswith("cluster")), "cluster")
        raise JobError(jobs.sweep.locate(Problem(f"space.{place}", message, 0, mend=mend)))
    return tuple(clusters)


def _structure(space: Space, assignment: Assignment) -> Iterator[tuple[str, Any]]:
    """What of an assignment decides which parts a job has."""
    for name, value in assignment.items():
        if isinstance(space.parameter(name).domain, Options):
            yield name, str(value)


def _of(problem: Problem, assignment: Assignment) -> Problem:
    """A problem that says which values it comes with."""
    return replace(problem, message=f"{problem.message} (tried with {labelled(assignment)})")


def _goals(job: SweepJobFile, example: TrialJob, checked: Checked) -> Iterator[Goal]:
    named = job.spec.goals
    if not named:
        best = checked.best
        if best is None or best.metric not in checked.metrics:
            message = "is needed, for the base monitors no metric"
            known = one_of([*checked.metrics, *DERIVED])
            raise JobError(job.locate(Problem("metric", message, allowed=known)))
        yield Goal(best.metric, best.higher_is_better)
        return
    many = isinstance(job.spec.metric, list)
    for index, goal in enumerate(named):
        place = f"metric.{index}" if many else "metric"
        yield Goal(goal.name, _is_highest(job, example.job, checked, goal, place), goal.at)


def _refuse_blind_scheduler(job: SweepJobFile, goal: Goal, checked: Checked) -> None:
    """Refuse a goal by which nobody can judge a trial on its way.

    Raises:
        JobError: evaluations do not give it.
    """
    scheduler, split = job.spec.scheduler, goal.name.partition("/")[0]
    if scheduler is None or split in {metric.partition("/")[0] for metric in checked.metrics}:
        return
    message = f"is nothing that evaluations give, which {scheduler.name} goes by"
    place = "metric.0" if isinstance(job.spec.metric, list) else "metric"
    allowed = one_of(checked.metrics)
    mend = "name one of these first, or leave out the scheduler"
    raise JobError(job.locate(Problem(place, message, goal.name, allowed, mend=mend)))


def _is_highest(
    job: SweepJobFile, example: Job[Any], checked: Checked, goal: Goals, place: str
) -> bool:
    """Whether more of a quantity is better.

    Raises:
        JobError: no trial will have it, or nobody knows.
    """
    if goal.name not in DERIVED and not checked.may_record(goal.name):
        known = [*checked.metrics, *checked.quantities, *DERIVED]
        message = "no trial will record this quantity"
        near = nearest(goal.name, known)
        raise JobError(job.locate(Problem(place, message, goal.name, one_of(known), near)))
    if goal.goal is not None:
        return goal.goal == "max"
    if goal.name in DERIVED:
        return False
    if checked.best is not None and checked.best.metric == goal.name:
        return checked.best.higher_is_better
    known_to_be = None
    if _is_evaluated(goal.name, checked):
        known_to_be = direction_of(example.spec.metrics, example.base, goal.name)
    elif goal.name.rsplit("/", 1)[-1] == "loss":
        known_to_be = False
    if known_to_be is None:
        message = "nobody says whether more of it is better"
        allowed = f"{{name: {goal.name}, goal: max}}, or min"
        raise JobError(job.locate(Problem(f"{place}.goal", message, allowed=allowed)))
    return known_to_be


def _is_evaluated(name: str, checked: Checked) -> bool:
    """Whether it is a metric of evaluations, or a part of one, on whichever split."""
    known = [metric.partition("/")[2] for metric in checked.metrics]
    short = name.partition("/")[2]
    return any(short == metric or short.startswith(f"{metric}/") for metric in known)
