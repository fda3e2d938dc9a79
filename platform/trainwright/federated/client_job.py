"""The training job that a client of a federation works on, for all that the two have in common."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from trainwright.errors import Problem
from trainwright.federated.spec import FederatedJob
from trainwright.job import Job
from trainwright.job.models import TrainJob


def client_job(spec: FederatedJob) -> TrainJob:
    """A job of kind ``train`` with the model, data, loss and optimizer of the federation.

    It is what checkpoints keep, so that a federation's model can be exported, evaluated and
    predicted with as any other. Its sections stand at the same places as the federation's.
    """
    federation, training = spec.federation, spec.training
    shared = ("version", "name", "seed", "data", "model", "objective", "strategies", "optimizer")
    values: dict[str, Any] = {name: getattr(spec, name) for name in (*shared, "schedule")}
    return TrainJob(
        **values,
        metrics=spec.metrics,
        training={
            "epochs": training.num_epochs,
            "steps": training.steps,
            "precision": training.precision,
            "max_grad_norm": training.max_grad_norm,
            "keep": federation.keep,
            "monitor": federation.monitor,
        },
        engine="local",
        cluster={"workers": 0, "gpus_per_worker": spec.cluster.gpus_per_worker},
        storage=spec.storage,
        tracking=spec.tracking,
    )


def as_client_job(job: Job[FederatedJob]) -> Job[TrainJob]:
    """The same of a job file, with the places of its values."""
    return Job(client_job(job.spec), job.base, job.source, job.document)


def in_federation(problems: Iterable[Problem]) -> list[Problem]:
    """Problems of a client's job at the places where a federation's job has the values."""
    moved = "training.monitor"
    return [
        replace(p, path=p.path.replace(moved, "federation.monitor", 1), location=None)
        if p.path.startswith(moved)
        else p
        for p in problems
    ]
