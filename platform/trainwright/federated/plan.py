"""Everything that can be wrong with a federation, found before anything starts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainwright.data.loading import load_splits
from trainwright.errors import InputError, JobError, Problem
from trainwright.federated.building import CPU, build_parts, device_of
from trainwright.federated.client_job import as_client_job, client_job, in_federation
from trainwright.federated.clients.choosing import choose_execution
from trainwright.federated.clients.trainer import Execution
from trainwright.federated.parts import Parts
from trainwright.federated.privacy.accountant import remarks
from trainwright.federated.refusals import broken_parts
from trainwright.federated.server.decomposition import AGGREGATION, DISTRIBUTION_SHIFT, LOCAL_LOSS
from trainwright.federated.spec import FederatedJob
from trainwright.federated.uses import uses
from trainwright.job import Job
from trainwright.job.check import found_plugins, plugin_problems, problems_of_uses
from trainwright.job.identity import SECTIONS as OF_TRAINING
from trainwright.job.identity import run_name
from trainwright.orchestration.anchoring import anchored
from trainwright.orchestration.machine import does_not_fit_here
from trainwright.orchestration.prepare import Prepared, located, prepare, storage_of
from trainwright.orchestration.starting import Start, readable
from trainwright.plugins import plugin_files
from trainwright.storage import Folder
from trainwright.training.monitored import Best

_OF_TRAINING_ALONE = ("engine", "deepspeed")
SECTIONS = {"federation": None} | {
    section: group for section, group in OF_TRAINING.items() if section not in _OF_TRAINING_ALONE
}
"""Parts of the job that enter the run's name -> the group of their plugins."""

RECORDED = (
    "clients",
    "megabytes_up",
    "megabytes_down",
    "dropped_updates",
    "missing_clients",
    "empty_rounds",
    "simulated_seconds",
    "epsilon",
    "clip",
)
"""What is recorded of a round under ``federation/``, as far as it applies."""


@dataclass(frozen=True)
class Plan:
    """A federation that will run.

    Attributes:
        job: its job.
        name: the run's name.
        storage: where runs are kept.
        plugin_files: the user's plugin files, relative path -> content.
        parts: its objects.
        execution: how clients train, unless the run was begun otherwise.
        start: the starting weights, if the job names any.
        metrics: what an evaluation of the global model gives.
        best: the metric that marks the best checkpoint.
        summary: what will be done, one line each.
        remarks: what the user should know.
    """

    job: Job[FederatedJob]
    name: str
    storage: Folder
    plugin_files: dict[str, bytes]
    parts: Parts
    execution: Execution
    start: Start | None
    metrics: list[str]
    best: Best
    summary: list[str]
    remarks: list[str]

    @property
    def quantities(self) -> list[str]:
        """What the rounds record besides."""
        recorded = [f"federation/{name}" for name in RECORDED]
        if self.job.spec.federation.decomposition:
            recorded += [LOCAL_LOSS, DISTRIBUTION_SHIFT, AGGREGATION]
        if self.job.spec.data.test is not None:
            recorded += [name.replace("validation/", "test/", 1) for name in self.metrics]
        return ["train/loss", "train/lr", "train/update_norm", *recorded]

    def values(self) -> dict[str, Any]:
        """The job as plain values, with paths that mean the same from any folder."""
        return anchored(self.job.spec, self.job.base).model_dump(mode="json", by_alias=True)

    def client_values(self) -> dict[str, Any]:
        """The same of the clients' training job."""
        return anchored(client_job(self.job.spec), self.job.base).model_dump(
            mode="json", by_alias=True
        )


def make_plan(job: Job[FederatedJob]) -> Plan:
    """Check a federation whole: plugins, options, data, partition, a pass over real samples.

    Raises:
        InputError: with every problem found, each with its place in the job file.
    """
    spec, storage = job.spec, storage_of(job)
    with located(job):
        named = uses(spec)
        wrong = [*plugin_problems(client_job(spec), job.base), *problems_of_uses(named, job.base)]
        _refuse(job, [*wrong, *does_not_fit_here(spec.cluster)])
        prepared = _prepared(job)
        splits = load_splits(spec.data, base=job.base, workers=0, seed=spec.seed)
        with readable(prepared.start) as weights:
            device = CPU if spec.cluster.workers else device_of(spec.cluster)
            parts = build_parts(spec, job.base, weights, splits, device)
        _refuse(job, broken_parts(parts))
        execution, why = choose_execution(parts)
    files = {**prepared.plugin_files, **plugin_files(job.base, found_plugins(named, job.base))}
    further = {"weights": prepared.start.fingerprint} if prepared.start else {}
    name = run_name(
        job,
        data_fingerprint=prepared.fingerprint,
        plugin_files=files,
        further=further,
        sections=SECTIONS,
    )
    summary = [*prepared.summary[:-1], *_summary(parts, execution)]
    return Plan(
        job=job,
        name=name,
        storage=storage,
        plugin_files=files,
        parts=parts,
        execution=execution,
        start=prepared.start,
        metrics=prepared.metrics,
        best=prepared.best,
        summary=summary,
        remarks=[*why, *_privacy_remarks(parts)],
    )


def _prepared(job: Job[FederatedJob]) -> Prepared:
    """What the clients' training job comes to."""
    try:
        return prepare(as_client_job(job))
    except InputError as error:
        raise type(error)(in_federation(error.problems)) from error


def _refuse(job: Job[Any], problems: Sequence[Problem]) -> None:
    if problems:
        raise JobError(job.document.sorted(list(problems)))


def _summary(parts: Parts, execution: Execution) -> list[str]:
    spec, federation = parts.spec.federation, parts.federation
    local = parts.spec.training
    length = f"{local.steps} steps" if local.steps is not None else f"{local.num_epochs} epochs"
    cluster = parts.spec.cluster
    where = f"{cluster.workers} resident processes on Ray ({cluster.address})"
    return [
        f"federation: {federation.population:,} clients by {spec.partition.name}, "
        f"{federation.cohort:,} in each of {spec.rounds} rounds, {spec.aggregator.name}",
        f"clients: {length} in a round, batches of {parts.spec.data.batch_size}, {execution}, "
        f"in {where if cluster.workers else 'this process'}",
    ]


def _privacy_remarks(parts: Parts) -> list[str]:
    if parts.accounting is None:
        return []
    spec = parts.spec.federation
    population = parts.federation.population
    return remarks(parts.accounting, population, spec.rounds, spec.privacy.max_epsilon)
