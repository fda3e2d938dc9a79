"""A job: read, checked and ready to be prepared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from trainwright.errors import JobError, Problem
from trainwright.job.document import Document, read_text
from trainwright.job.models import TrainJob
from trainwright.job.problems import problems_of
from trainwright.job.rules import broken_rules


@dataclass(frozen=True)
class Job:
    """A job whose form is right: every key known, every value in range, every rule kept.

    Plugins and their options are checked by :func:`trainwright.job.check.check_plugins`.

    Attributes:
        spec: the job's values, defaults filled in.
        base: folder of the job file; plugin files and relative data paths start there.
        source: the text of the job file as it was given.
        document: the values with the places where they were written.
    """

    spec: TrainJob
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
    ) -> Job:
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
        base = Path(path).resolve().parent
        return cls(_validated(document, base), base, document.text, document)

    @classmethod
    def from_dict(
        cls,
        values: Mapping[str, Any],
        base: str | Path | None = None,
        overrides: Iterable[str] = (),
        *,
        environ: Mapping[str, str] | None = None,
    ) -> Job:
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
        return cls(_validated(document, folder), folder, document.text, document)

    def locate(self, problem: Problem) -> Problem:
        """``problem`` with the file and line of its value, if it has none yet."""
        return self.document.place(problem)


def _validated(document: Document, base: Path) -> TrainJob:
    try:
        spec = TrainJob.model_validate(document.values, strict=True)
    except ValidationError as error:
        problems = problems_of(error, document.values)
    else:
        problems = broken_rules(spec)
    if problems:
        # Torch is imported only here, where a user will mend the file and would rather do it once.
        from trainwright.job.remaining import remaining_problems

        remaining = remaining_problems(document.values, base, problems)
        raise JobError(document.sorted([*problems, *remaining]))
    return spec
