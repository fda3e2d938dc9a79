"""A run of a comparison as it is known once it was checked: the same for every kind of job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trainwright.job import Job
from trainwright.orchestration.prepare import prepare
from trainwright.procedure.plan import make_plan
from trainwright.training.monitored import Best


@dataclass(frozen=True)
class Checked:
    """What a comparison needs to know of a run before it starts.

    Attributes:
        name_of: the run's name of a job that differs from the checked one in its seed alone.
        plugin_files: the user's plugin files, relative path -> content.
        total_steps: updates planned; a procedure, whose steps are not known, counts as one.
        summary: what will be done with what, one line each.
        may_log: whether a quantity may be recorded that is not among those known beforehand.
        remarks: what depends on the number of workers.
        shares_process: whether one process can do many such runs.
        metrics: what an evaluation will give, as far as known beforehand.
        quantities: further ones that will be recorded.
        best: the metric that is monitored, if there is one.
    """

    name_of: Callable[[Job[Any]], str]
    plugin_files: dict[str, bytes]
    total_steps: int
    summary: list[str]
    may_log: Callable[[str], bool]
    remarks: list[str] = field(default_factory=list)
    shares_process: bool = False
    metrics: list[str] = field(default_factory=list)
    quantities: list[str] = field(default_factory=list)
    best: Best | None = None

    def may_record(self, name: str) -> bool:
        """Whether a run can have a quantity of this name."""
        return name in self.metrics or name in self.quantities or self.may_log(name)


def _training(job: Job[Any]) -> Checked:
    prepared = prepare(job)
    metrics = prepared.metrics
    tested = [metric.replace("validation/", "test/", 1) for metric in metrics]
    quantities = ["train/loss", "train/lr", *(tested if job.spec.data.test is not None else [])]

    def may_log(name: str) -> bool:
        split, slash, _ = name.partition("/")
        is_part = any(name.startswith(f"{known}/") for known in (*metrics, *quantities))
        return is_part or bool(slash and (split == "train" or job.spec.strategies))

    return Checked(
        name_of=prepared.name_of,
        plugin_files=prepared.plugin_files,
        total_steps=prepared.total_steps,
        summary=prepared.summary[1:],
        remarks=prepared.remarks,
        # Starting weights are put where the run can read them by a run of its own.
        shares_process=prepared.start is None,
        metrics=metrics,
        quantities=quantities,
        may_log=may_log,
        best=prepared.best,
    )


def _procedure(job: Job[Any]) -> Checked:
    plan = make_plan(job)
    return Checked(
        name_of=lambda other: make_plan(other).name,
        plugin_files=plan.plugin_files,
        total_steps=1,
        summary=plan.summary[1:],
        may_log=lambda name: True,
    )


def _federation(job: Job[Any]) -> Checked:
    from trainwright.federated.plan import make_plan

    plan = make_plan(job)
    return Checked(
        name_of=lambda other: make_plan(other).name,
        plugin_files=plan.plugin_files,
        total_steps=job.spec.federation.rounds,
        summary=plan.summary[1:],
        remarks=plan.remarks,
        metrics=plan.metrics,
        quantities=plan.quantities,
        may_log=lambda name: name.partition("/")[0] in ("client", "personalised", "system"),
        best=plan.best,
    )


_CHECKS: dict[str, Callable[[Job[Any]], Checked]] = {
    "train": _training,
    "procedure": _procedure,
    "federated": _federation,
}


def check(job: Job[Any]) -> Checked:
    """Check a run of a comparison whole.

    Raises:
        InputError: with every problem found.
    """
    return _CHECKS[job.spec.kind](job)
