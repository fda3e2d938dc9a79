"""A finished run's model in MLflow, next to its metrics (``tracking.log_model: auto``)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from trainwright.storage import Folder

if TYPE_CHECKING:
    from torch import Tensor, nn

    from trainwright.job import Job
    from trainwright.tracking import ShipperProcess


SECONDS_FOR_THE_SERVER = 20.0


def publish_model(job: Job, folder: Folder, shipper: ShipperProcess) -> str | None:
    """Store the exported weights as an MLflow model (pt2, never pickle).

    Args:
        job: the job of the run.
        folder: the run's folder, with its export.
        shipper: knows the server, and the run there once it has answered.

    Returns:
        Why there is no model in MLflow; None when it was stored.
    """
    from trainwright.tracking.model import log_mlflow_model

    run_id = _run_id(shipper)
    if run_id is None:
        return "the model was not stored in MLflow: its server did not answer"
    model, examples = _model_and_examples(job, folder)
    report = log_mlflow_model(shipper.uri, run_id, model, examples, folder=folder)
    if report.error is None:
        return None
    return f"the model was not stored in MLflow ({report.error}); the safetensors export is there"


def _run_id(shipper: ShipperProcess) -> str | None:
    """The MLflow run; a short training may be over before the server has answered."""
    until = time.monotonic() + SECONDS_FOR_THE_SERVER
    while time.monotonic() < until:
        state = shipper.state()
        if state is not None and state.mlflow_run_id is not None:
            return state.mlflow_run_id
        time.sleep(0.2)
    return None


def _model_and_examples(job: Job, folder: Folder) -> tuple[nn.Module, list[Tensor]]:
    """The plain model with the run's weights, and two samples of each of its inputs."""
    import torch
    from safetensors.torch import load

    from trainwright.checkpoint import CheckpointStore
    from trainwright.data.loading import load_splits
    from trainwright.orchestration.exporting import chosen, exported_model
    from trainwright.orchestration.rebuilding import rebuild
    from trainwright.strategy import Context
    from trainwright.strategy.compose import using
    from trainwright.training.assembly import assemble

    spec = job.spec
    splits = load_splits(spec.data, base=job.base, workers=0, seed=spec.seed)
    assembly = assemble(spec, job.base, splits, Context(seed=spec.seed))
    named = assembly.module.model
    hooks = list(assembly.strategies.values())
    if using(hooks, "export"):
        checkpoint = chosen(CheckpointStore(folder), "the run", None, folder)
        named.model = exported_model(rebuild(folder, checkpoint, trusted=True))
    else:
        weights: dict[str, Tensor] = {}
        for name in folder.names("export"):
            if name.endswith(".safetensors"):
                weights.update(load(folder.read_bytes(f"export/{name}")))
        named.model.load_state_dict(weights, strict=False)
    rows = torch.arange(min(2, len(splits.train)))
    batch = splits.transforms(splits.train.take(rows), 0, training=False)
    inputs = named.binding.collect({}, batch)
    return named.model, list(inputs.values())
