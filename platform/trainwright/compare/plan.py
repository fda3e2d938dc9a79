"""A comparison checked whole: which runs it consists of, under which names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from trainwright.compare.checked import Checked, check
from trainwright.compare.expectation import Line, Quantity
from trainwright.compare.rules import expectations, reported
from trainwright.compare.variants import CompareJobFile, Variant, variants_of
from trainwright.errors import JobError, Problem
from trainwright.job import Job
from trainwright.job.identity import HASH_DIGITS, canonical
from trainwright.orchestration.prepare import storage_of
from trainwright.runs import run_folder
from trainwright.storage import Folder
from trainwright.suggest import nearest, one_of

DERIVED = ("seconds_per_step", "steps", "seconds")
"""Quantities that every run has besides those in its journal."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a comparison.

    Attributes:
        variant: whose settings it has.
        seed: its seed.
        job: the whole job, a training or a procedure.
        name: the name under which it is kept.
        folder: its folder.
        checked: the variant, checked whole with its first seed.
    """

    variant: str
    seed: int
    job: Job
    name: str
    folder: Folder
    checked: Checked

    @property
    def is_light(self) -> bool:
        """Whether it trains in one process, so that a process can train many of them."""
        return self.is_here and self.checked.shares_process

    @property
    def is_here(self) -> bool:
        """Whether it needs no cluster."""
        return bool(self.job.spec.cluster.max_workers == 0)


@dataclass(frozen=True)
class Plan:
    """A comparison that will run.

    Attributes:
        job: the comparison.
        name: the name of its own run.
        storage: where all runs are kept.
        variants: variant -> seed -> its run; with a placebo, methods have the baseline's runs.
        lines: the expectations.
        report: quantities of the table; none: all that the runs record.
        placebo: whether methods are replaced by the baseline.
    """

    job: CompareJobFile
    name: str
    storage: Folder
    variants: dict[str, dict[int, PlannedRun]]
    lines: list[Line]
    report: list[Quantity]
    placebo: bool

    @property
    def runs(self) -> list[PlannedRun]:
        """Every run once: all variants with the first seed, then with the second, and so on."""
        seeds = self.job.spec.seed_list
        every = [by_seed[seed] for seed in seeds for by_seed in self.variants.values()]
        return list({run.name: run for run in every}.values())

    @property
    def total_steps(self) -> int:
        """Updates of all runs together."""
        return sum(run.checked.total_steps for run in self.runs)

    def checked(self, variant: str) -> Checked:
        """What is known of a variant's runs."""
        return next(iter(self.variants[variant].values())).checked


def make_plan(job: CompareJobFile, *, fresh: bool = False, placebo: bool = False) -> Plan:
    """Check every variant whole and name every run.

    Args:
        job: the comparison.
        fresh: new runs beside those of the same names.
        placebo: replace the methods by the baseline.

    Raises:
        InputError: a variant cannot run, with its place in the comparison's file.
    """
    spec, storage = job.spec, storage_of(job)
    taken = {
        name: spec.baseline if placebo and name in spec.method_names else name
        for name in spec.variants
    }
    variants = variants_of(job)
    planned = {
        name: _runs(variants[name], spec.seed_list, storage, fresh)
        for name in dict.fromkeys(taken.values())
    }
    names = {
        variant: [run.name for run in planned[source].values()] for variant, source in taken.items()
    }
    lines, _ = expectations(spec)
    plan = Plan(
        job=job,
        name=_name(spec.name, names, placebo),
        storage=storage,
        variants={variant: planned[source] for variant, source in taken.items()},
        lines=lines,
        report=_report(job, lines, planned),
        placebo=placebo,
    )
    _refuse_unknown_quantities(plan)
    return plan


def _name(label: str, names: Mapping[str, list[str]], placebo: bool) -> str:
    digest = hashlib.sha256(canonical(names).encode()).hexdigest()[:HASH_DIGITS]
    return f"{label}{'-placebo' if placebo else ''}-{digest}"


def _runs(
    variant: Variant, seeds: list[int], storage: Folder, fresh: bool
) -> dict[int, PlannedRun]:
    found = {}
    with variant.told():
        checked = check(variant.job(seeds[0]))
        for seed in seeds:
            job = variant.job(seed)
            name = checked.name_of(job)
            folder = run_folder(storage, name, fresh)
            found[seed] = PlannedRun(variant.name, seed, job, name, folder, checked)
    return found


def _report(
    job: CompareJobFile, lines: list[Line], planned: Mapping[str, Mapping[int, PlannedRun]]
) -> list[Quantity]:
    """What the table shows: as the job says, else what it expects and what its runs evaluate.

    Empty where none of it is known beforehand.
    """
    if job.spec.report:
        return reported(job.spec)[0]
    expected = [leaf.quantity for line in lines for leaf in line.leaves]
    variants = [next(iter(runs.values())).checked for runs in planned.values()]
    monitored = [Quantity(one.best.metric) for one in variants if one.best]
    evaluated = [Quantity(name) for one in variants for name in one.metrics]
    every = [*expected, *(q for q in evaluated if q in monitored), *evaluated]
    others = [Quantity(name) for one in variants for name in one.quantities[:1]]
    shown = [quantity for quantity in dict.fromkeys(every) if quantity.name not in DERIVED]
    return shown or list(dict.fromkeys(others))


def _refuse_unknown_quantities(plan: Plan) -> None:
    """Metrics of an evaluation are known beforehand; what strategies and procedures log is not."""
    # That the baseline does not record what its method does is what a placebo shall show.
    replaced = plan.job.spec.method_names if plan.placebo else ()
    problems = []
    for index, line in enumerate(plan.lines):
        for leaf in line.leaves:
            if leaf.variant in replaced:
                continue
            name, checked = leaf.quantity.name, plan.checked(leaf.variant)
            if name in DERIVED or checked.may_record(name):
                continue
            message = f"the runs of {leaf.variant} will record no such quantity"
            known = [*checked.metrics, *checked.quantities, *DERIVED]
            allowed, close = one_of(known), nearest(name, known)
            problems.append(Problem(f"expect.{index}", message, name, allowed, close))
    if problems:
        raise JobError([plan.job.locate(problem) for problem in dict.fromkeys(problems)])
