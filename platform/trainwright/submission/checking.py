"""A job checked before it is sent, as far as this machine sees what it needs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from typing import Any, Protocol

from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.submission.site import Site


class Changeable(Protocol):
    """A job that can be read again with further changes."""

    def job(self, *further: str) -> Job[Any]:
        """The job with further changes, ``a.b=value`` each."""
        ...


@dataclass(frozen=True)
class Checked:
    """What is known of a job that may be sent.

    Attributes:
        run: the name its run will have; None where that depends on what only the cluster sees.
        remarks: what the user should know.
    """

    run: str | None = None
    remarks: list[str] = field(default_factory=list)


def check_here(draft: Changeable, job: Job[Any], site: Site) -> Checked:
    """Check a job whole if its data can be read here, otherwise its plugins and their options.

    Raises:
        InputError: it would not run.
    """
    if site.shares_disk:
        found = kind_of(job).validate(job)
        return Checked(found.run, found.remarks)
    if _looks_elsewhere(job):
        _check_plugins(job)
        return Checked(None, ["data and weights are checked on the cluster, when the run begins"])
    with tempfile.TemporaryDirectory(prefix="trainwright-check-") as folder:
        found = kind_of(job).validate(draft.job(f"storage={folder}", "tracking.enabled=false"))
    return Checked(found.run, found.remarks)


def _looks_elsewhere(job: Job[Any]) -> bool:
    """Whether checking a job means to read data, weights or runs that only the cluster sees."""
    from trainwright.submission.places import sources_of

    values = job.document.values
    inner = values.get("base")
    sections = [values, inner] if isinstance(inner, dict) else [values]
    has_weights = any(
        isinstance(section.get("model"), dict) and "weights" in section["model"]
        for section in sections
    )
    return has_weights or "runs" in values or any(True for _ in sources_of(job))


def _check_plugins(job: Job[Any]) -> None:
    from trainwright.errors import JobError
    from trainwright.job.check import check_plugins

    if job.spec.kind == "train" and (problems := check_plugins(job)):
        raise JobError(problems)
