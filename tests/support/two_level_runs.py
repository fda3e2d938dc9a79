"""Whole runs of two-level methods that tests repeat by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainwright.data.loading import load_splits
from trainwright.testing import Case, Rig, Setup


def full_batch_job(
    case: Case, options: Mapping[str, Any], lr: float, steps: int, **changes: Any
) -> dict[str, Any]:
    """Linear classification by plain descent; every update sees all samples."""
    job = case.job_with(options, model={"name": "mlp", "hidden": []}, **changes)
    job["data"] = {**job["data"], "batch_size": 72}
    job["optimizer"] = {"name": "sgd", "lr": lr}
    job["training"] = {"steps": steps, "checkpoint_every": "100 steps"}
    return job


def samples_of(rig: Rig, job: Mapping[str, Any]) -> list[dict[str, Tensor]]:
    """All training samples of a job, and all validation samples."""
    loaded = rig.job(job, Setup())
    splits = load_splits(loaded.spec.data, base=loaded.base, workers=0, seed=loaded.spec.seed)
    tables = [splits.train, splits.validation]
    return [splits.transforms(t.take(torch.arange(len(t))), 0, training=False) for t in tables if t]
