"""Runs that the job of a procedure holds itself, as trainings that go before it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.document import Document
from trainwright.job.kinds import kind_of
from trainwright.job.load import checked
from trainwright.job.merging import EXTENDS, places_inside
from trainwright.job.yaml_writer import yaml_text
from trainwright.orchestration.prepare import Prepared, prepare
from trainwright.orchestration.request import Request
from trainwright.procedure.spec import ProcedureJob


def own_runs(job: Job[ProcedureJob]) -> tuple[dict[str, Prepared], list[Problem]]:
    """The trainings in ``runs`` of a procedure's job, checked whole, and what is wrong with others.

    Seed, storage and tracking are the procedure's, and it trains in this process, unless the
    training says otherwise. So procedures with one seed share it.
    """
    found: dict[str, Prepared] = {}
    problems: list[Problem] = []
    for name in job.spec.own_runs:
        try:
            found[name] = prepare(training_of(job, name))
        except InputError as error:
            problems += [replace(p, path=f"runs.{name}.{p.path}") for p in error.problems]
    return found, problems


def training_of(job: Job[ProcedureJob], name: str) -> Job[Any]:
    """The job of a training in ``runs`` of a procedure's job.

    Raises:
        JobError: it is none; paths are those inside its section.
    """
    values = job.spec.own_runs[name]
    kind = values.get("kind", "train")
    if kind != "train":
        raise JobError(Problem("kind", "a procedure starts from trained runs", kind, "train"))
    if EXTENDS in values:
        raise JobError(Problem(EXTENDS, "only a file can extend a file", values[EXTENDS]))
    here = {"name": name, "seed": job.spec.seed, "cluster": {"workers": 0}}
    whole = {**here, **shared_with(job.spec), **values}
    text = yaml_text(whole)
    places = places_inside(job.document.locations, f"runs.{name}")
    return checked(Document(whole, places, job.document.file, text), job.base)


def shared_with(spec: ProcedureJob) -> dict[str, Any]:
    """The sections of a procedure's job that its trainings have as well."""
    tracking = spec.tracking.model_dump(mode="json", exclude_unset=True)
    return {"storage": spec.storage, "tracking": tracking}


def train(trainings: Iterable[Job[Any]]) -> None:
    """Train all of them, or continue them.

    Raises:
        RunError: one failed.
        Interrupted: it was asked to stop.
    """
    for training in trainings:
        kind_of(training).run(training, Request())
