"""Procedures as the runs of a comparison: each is one whole piece of work, in the driver."""

from __future__ import annotations

from typing import Any

from trainwright.job import Job
from trainwright.orchestration.prepare import Prepared, prepare
from trainwright.procedure.plan import make_plan
from trainwright.training.monitored import Best


class PreparedProcedure(Prepared):
    """A procedure that will run; what it records is not known beforehand."""

    def name_of(self, job: Job[Any]) -> str:
        """The run's name of a job that differs from this one in its seed alone."""
        return make_plan(job).name


def prepared(job: Job[Any]) -> Prepared:
    """Check a run of a comparison whole.

    Raises:
        InputError: with every problem found.
    """
    if job.spec.kind != "procedure":
        return prepare(job)
    plan = make_plan(job)
    return PreparedProcedure(
        job=job,
        name=plan.name,
        plugin_files=plan.plugin_files,
        fingerprint="",
        total_steps=1,
        summary=plan.summary,
        remarks=[],
        metrics=[],
        best=Best(),
    )
