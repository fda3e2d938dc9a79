"""Trainings that a procedure decides on itself: the job of an earlier run, with changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from trainwright.errors import InputError, Location, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins
from trainwright.job.document import Document
from trainwright.job.kinds import kind_of
from trainwright.job.load import checked
from trainwright.job.merging import merged
from trainwright.job.overrides import changed
from trainwright.job.yaml_reader import Parsed
from trainwright.job.yaml_writer import yaml_text
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.orchestration.live import Show
from trainwright.orchestration.prepare import storage_of
from trainwright.orchestration.request import Request
from trainwright.procedure.trained import TrainedRun

_ELSEWHERE = ("storage", "tracking")
"""Sections that say where results go, and are the procedure's own."""


@dataclass(frozen=True)
class Variation:
    """A training that can be run, or found finished: :meth:`ProcedureContext.train`.

    Attributes:
        job: what will be trained.
        place: dotted path of the changes in the procedure's job, for messages.
    """

    job: Job[Any]
    place: str

    @property
    def text(self) -> str:
        """The job as a job file, without where its results go."""
        values = self.job.document.values
        kept = {key: value for key, value in values.items() if key not in _ELSEWHERE}
        return yaml_text(kept)


def variation(
    run: TrainedRun, name: str, changes: Mapping[str, Any], place: str, shared: Mapping[str, Any]
) -> Variation:
    """The job of an earlier run with changes, its form and its plugins checked.

    Args:
        run: whose job is changed.
        name: label of the new run.
        changes: as a variant of a comparison has them: sections, which are merged into those of
            the run's job, or values at dotted paths.
        place: dotted path of the changes in the procedure's job.
        shared: what it has in common with the procedure.

    Raises:
        InputError: it is no job, with every problem at its place.
    """
    at = Location("<job>")
    values = run.job.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    parsed = Parsed({**values, **shared, "name": name}, {"": at})
    with _told(place):
        sections = {key: value for key, value in changes.items() if "." not in key}
        parsed = merged(parsed, Parsed(sections, {"": at}))
        for path, value in changes.items():
            if "." in path:
                parsed = changed(parsed, path, value, at)
        job = checked(Document.from_values(parsed.values), run.base)
        if problems := check_plugins(job):
            raise InputError(problems)
    return Variation(job, place)


def train(one: Variation, show: Show) -> TrainedRun:
    """Train it, or go on with it, or find it finished.

    Args:
        one: what to train.
        show: called a few times a second with the newest progress.

    Raises:
        InputError: it cannot run.
        RunError: it failed.
        Interrupted: it was asked to stop.
    """
    with _told(one.place):
        result = kind_of(one.job).run(one.job, Request(show=show))
    folder, record, checkpoint = named_checkpoint(storage_of(one.job), result.run)
    return TrainedRun(record.name, folder.url, checkpoint.name)


@contextmanager
def _told(place: str) -> Iterator[None]:
    """Every problem raised inside stands in the procedure's job, at ``place``."""
    try:
        yield
    except InputError as error:
        raise InputError([_at(place, problem) for problem in error.problems]) from error


def _at(place: str, problem: Problem) -> Problem:
    path = f"{place}.{problem.path}" if problem.path else place
    return replace(problem, path=path, location=None)
