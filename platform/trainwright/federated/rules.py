"""What the form of a federation's job cannot say, and what can be told of one with mistakes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainwright.errors import Problem
from trainwright.federated.client_job import client_job, in_federation
from trainwright.federated.privacy.rules import broken_rules as broken_privacy
from trainwright.federated.spec import FederatedJob
from trainwright.federated.uses import uses
from trainwright.job import Job
from trainwright.job.check import plugin_problems, problems_of_uses
from trainwright.job.data_rules import memory_stays_in_process
from trainwright.job.remaining import told_of_the_readable
from trainwright.job.rules import broken_rules as broken_rules_of_training
from trainwright.job.rules import storage_outlives_the_process


def broken_rules(job: Job[FederatedJob]) -> list[Problem]:
    """Every problem of a federation's job whose form is right."""
    spec = job.spec
    return [
        *_length(spec),
        *_training(spec),
        *memory_stays_in_process(spec),
        *storage_outlives_the_process(spec),
        *_evaluations(spec),
        *_in_memory(spec),
        *broken_privacy(spec.federation),
    ]


def remaining_problems(
    values: Mapping[str, Any], base: Path, found: Iterable[Problem]
) -> list[Problem]:
    """What is wrong with the plugins of a job in whose form mistakes were found already.

    Args:
        values: the job as it was written.
        base: folder of the job file.
        found: what is wrong with its form.
    """

    def told(spec: FederatedJob) -> list[Problem]:
        return [
            *plugin_problems(client_job(spec), base),
            *problems_of_uses(uses(spec), base),
        ]

    least = {"federation": {"rounds": 1}}
    return told_of_the_readable(FederatedJob, values, list(found), told, least)


def _length(spec: FederatedJob) -> list[Problem]:
    """What a client does is said once."""
    told = {"training": spec.training}
    evaluation = spec.federation.client_evaluation
    if evaluation is not None and evaluation.personalise is not None:
        told["federation.client_evaluation.personalise"] = evaluation.personalise
    return [
        Problem(
            f"{path}.steps",
            f"the job says both {local.epochs} epochs and {local.steps} steps of a client",
            local.steps,
            mend=f"remove {path}.epochs or {path}.steps",
        )
        for path, local in told.items()
        if local.epochs is not None and local.steps is not None
    ]


def _training(spec: FederatedJob) -> list[Problem]:
    """What is wrong with the parts that a federation shares with training."""
    problems = in_federation(broken_rules_of_training(client_job(spec)))
    return [problem for problem in problems if problem.path != "data.streaming"]


def _evaluations(spec: FederatedJob) -> list[Problem]:
    """What is split or monitored comes from a validation split."""
    if spec.data.validation is not None or not spec.federation.decomposition:
        return []
    message = "needs samples of all clients' distribution that none of them trains on"
    mend = "add data.validation, 0.2 say"
    return [Problem("federation.decomposition", message, True, mend=mend)]


def _in_memory(spec: FederatedJob) -> list[Problem]:
    """Clients find their samples by rows."""
    if spec.data.streaming is None:
        return []
    message = "clients pick their samples from all of the table, which a streamed one cannot give"
    return [Problem("data.streaming", message, mend="remove it; a federation's table is in memory")]
