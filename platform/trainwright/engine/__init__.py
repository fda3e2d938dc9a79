"""Engines: what moves the weights."""

from __future__ import annotations

import torch

from trainwright.engine.base import Engine, EngineSettings
from trainwright.engine.deferred import Deferred
from trainwright.engine.module import NamedModel, TrainModule
from trainwright.job.models import TrainJob

__all__ = ["Engine", "EngineSettings", "NamedModel", "TrainModule", "engine_name", "make_engine"]


def engine_name(job: TrainJob) -> str:
    """The engine that ``engine: auto`` means: local in process, DeepSpeed with workers."""
    if job.engine != "auto":
        return job.engine
    return "local" if job.cluster.max_workers == 0 else "deepspeed"


def make_engine(
    job: TrainJob,
    module: TrainModule,
    optimizer: torch.optim.Optimizer,
    settings: EngineSettings,
    deferred: Deferred | None = None,
) -> Engine:
    """The engine a job asks for.

    Args:
        job: the job.
        module: model and objective.
        optimizer: over the module's parameters.
        settings: what decides the numerics.
        deferred: makes the module's weights, where that is still to be done.
    """
    if engine_name(job) == "local":
        from trainwright.engine.local import LocalEngine

        return LocalEngine(module, optimizer, settings)
    from trainwright.engine.deepspeed import DeepSpeedEngine

    return DeepSpeedEngine(module, optimizer, settings, deferred)
