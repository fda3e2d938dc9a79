"""Runs that the job of a procedure holds itself, as trainings that go before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.orchestration.prepare import prepare
from trainwright.orchestration.request import Request
from trainwright.procedure.spec import ProcedureJob


def training_of(job: Job[ProcedureJob], name: str, values: Mapping[str, Any]) -> Job[Any]:
    """The training that ``runs.<name>`` of a procedure's job holds.

    Seed, storage and tracking are the procedure's, and it trains in this process, unless the
    values say otherwise. So procedures with one seed share it.

    Raises:
        InputError: it is no training job.
    """
    spec = job.spec
    kind = values.get("kind", "train")
    with _inside(f"runs.{name}"):
        if kind != "train":
            raise JobError(Problem("kind", "a procedure starts from trained runs", kind, "train"))
        shared = {
            "name": name,
            "seed": spec.seed,
            "storage": spec.storage,
            "tracking": spec.tracking.model_dump(mode="json", exclude_unset=True),
            "cluster": {"workers": 0},
        }
        return Job.from_dict({**shared, **values}, base=job.base)


def name_of(training: Job[Any], name: str) -> str:
    """The name that the run of a training has, or will have.

    Raises:
        InputError: it cannot be trained.
    """
    with _inside(f"runs.{name}"):
        return prepare(training).name


def train(trainings: Mapping[str, Job[Any]]) -> None:
    """Train all of them, or continue them.

    Raises:
        RunError: one failed.
        Interrupted: it was asked to stop.
    """
    for name, training in trainings.items():
        with _inside(f"runs.{name}"):
            kind_of(training).run(training, Request())


@contextmanager
def _inside(path: str) -> Iterator[None]:
    """Give every problem raised inside its place in the procedure's job."""
    try:
        yield
    except InputError as error:
        told = [replace(problem, path=f"{path}.{problem.path}") for problem in error.problems]
        raise type(error)(told) from error
