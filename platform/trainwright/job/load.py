"""A job: read, checked and ready to be prepared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic

from pydantic import ValidationError
from typing_extensions import TypeVar

from trainwright.errors import MISSING, JobError, Problem
from trainwright.job.document import Document, read_text
from trainwright.job.kinds import Kind, kinds_with, named_kind
from trainwright.job.models import TrainJob
from trainwright.job.plugin_spec import JobSection
from trainwright.job.problems import problems_of
from trainwright.suggest import one_of

SpecT = TypeVar("SpecT", bound=JobSection, default=TrainJob, covariant=True)


@dataclass(frozen=True)
class Job(Generic[SpecT]):
    """A job whose form is right: every key known, every value in range, every rule kept.

    ``Job`` alone stands for a job of kind ``train``; what ``load`` gives may be of any kind.
    Plugins and their options are checked by :func:`trainwright.job.check.check_plugins`.

    Attributes:
        spec: the job's values, defaults filled in.
        base: folder of the job file; plugin files and relative data paths start there.
        source: the text of the job file as it was given.
        document: the values with the places where they were written.
    """

    spec: SpecT
    base: Path
    source: str
    document: Document

    @classmethod
    def load(
        cls,
        path: str | Path,
        overrides: Iterable[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Job[Any]:
        """Read a job file.

        Args:
            path: a YAML file.
            overrides: values to change, ``a.b=value`` each.
            environ: environment variables; those of this process when left out.

        Raises:
            JobError: the file is no job, with every problem that was found.

        Example:
            >>> Job.load("jobs/quickstart.yaml", ["training.epochs=1"])  # doctest: +SKIP
        """
        document = Document.read(read_text(path), str(path), overrides, environ)
        return checked(document, Path(path).resolve().parent)

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        base: str | Path | None = None,
        overrides: Iterable[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Job[Any]:
        """Make a job of plain Python values, as in a notebook.

        Args:
            values: what a job file would hold.
            base: folder at which plugin files and relative data paths start; default: the
                current folder.
            overrides: values to change, ``a.b=value`` each.
            environ: environment variables; those of this process when left out.

        Raises:
            JobError: the values are no job, with every problem that was found.

        Example:
            >>> values = {"name": "d", "data": {"source": "digits"}, "model": "mlp"}
            >>> Job.from_dict({**values, "objective": "cross_entropy"}).spec.seed
            0
        """
        document = Document.from_values(values, overrides, environ)
        folder = Path.cwd() if base is None else Path(base).resolve()
        return checked(document, folder)

    def locate(self, problem: Problem) -> Problem:
        """``problem`` with the file and line of its value, if it has none yet."""
        return self.document.place(problem)


def checked(document: Document, base: Path) -> Job[Any]:
    """The job that a document holds.

    Args:
        document: the values with their places.
        base: folder at which plugin files and relative data paths start.

    Raises:
        JobError: its form or its rules are broken, with every problem that was found.
    """
    kind, problems = named_kind(document.values)
    values = {**document.values, "kind": kind.name}
    job: Job[Any] | None = None
    try:
        job = Job(kind.model.model_validate(values, strict=True), base, document.text, document)
    except ValidationError as error:
        found = problems_of(error, values, kind.model)
        problems += [_of_another_kind(problem, kind) for problem in found]
    else:
        problems += kind.check(job)
    if job is None or problems:
        remaining = kind.remaining_problems(values, base, problems)
        raise JobError(document.sorted([*problems, *remaining]))
    return job


def _of_another_kind(problem: Problem, kind: Kind) -> Problem:
    """An unknown key that another kind of job has is told as such."""
    others = [name for name in kinds_with(problem.path) if name != kind.name]
    if problem.got is not MISSING or problem.path in kind.model.model_fields or not others:
        return problem
    return replace(problem, mend=f"a job with this key is of kind: {one_of(others)}")
