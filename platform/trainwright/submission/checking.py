"""A job checked before it is sent, as far as this machine sees what it needs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.submission.draft import Draft
from trainwright.submission.parts import Part


@dataclass(frozen=True)
class Checked:
    """What is known of a job that may be sent.

    Attributes:
        run: the name its run will have; None where that depends on what only the cluster sees.
        remarks: what the user should know.
    """

    run: str | None = None
    remarks: list[str] = field(default_factory=list)


def check_here(draft: Draft, job: Job[Any], parts: Sequence[Part]) -> Checked:
    """Check a job whole, unless that means to read what only the cluster sees.

    Args:
        draft: the job on its way.
        job: the same, read.
        parts: the runs that it consists of, whose plugins are in order.

    Raises:
        InputError: it would not run.
    """
    if draft.site.shares_disk:
        found = kind_of(job).validate(job)
        return Checked(found.run, found.remarks)
    if any(_looks_elsewhere(part) for part in parts):
        return Checked(None, ["data and weights are checked on the cluster, when the run begins"])
    with tempfile.TemporaryDirectory(prefix="trainwright-check-") as folder:
        further = [f"storage={json.dumps(folder)}", "tracking.enabled=false"]
        found = kind_of(job).validate(draft.job(*further))
    return Checked(found.run, found.remarks)


def _looks_elsewhere(part: Part) -> bool:
    """Whether checking a run means to read data, weights or runs that only the cluster sees."""
    spec = part.job.spec
    model = getattr(spec, "model", None)
    has_weights = model is not None and model.weights is not None
    return has_weights or bool(getattr(spec, "named_runs", None)) or bool(part.paths())
