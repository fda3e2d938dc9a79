"""A whole worker that trains with ``spherical_output``: seconds per update at many classes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common.pairs import Side
from common.turns import Worker

from classes.batches import INPUTS
from classes.measure import BATCH, BLOCK, in_a_process
from trainwright.job.models import TrainJob

UPDATES = 32
"""In an epoch."""

PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class WorkerResult:
    """What came of one number of classes and of features.

    Attributes:
        classes: D.
        width: d.
        times: seconds per update, by the precision of the job.
    """

    classes: int
    width: int
    times: dict[str, Side]


def job_of(num_classes: int, width: int, precision: str, updates: int) -> TrainJob:
    """An MLP with one hidden layer, whose training lasts at least some updates."""
    epochs = -(-updates // UPDATES)
    return TrainJob.model_validate(
        {
            "name": f"benchmark-{precision}",
            "data": {
                "source": {
                    "name": "classes.batches:words",
                    "num_samples": UPDATES * BATCH,
                    "num_classes": num_classes,
                },
                "batch_size": BATCH,
            },
            "model": {
                "name": "mlp",
                "in_features": INPUTS,
                "hidden": [width],
                "out_features": num_classes,
            },
            "objective": "z_loss",
            "strategies": [
                "spherical_output",
                {"name": "common.turns:Turns", "block": BLOCK},
            ],
            "optimizer": {"name": "sgd", "lr": 0.1},
            "training": {
                "epochs": epochs,
                "checkpoint_every": f"{epochs} epochs",
                "precision": precision,
            },
            "engine": "local",
            "cluster": {"workers": 0},
        }
    )


def compare(num_classes: int, width: int, pairs: int) -> WorkerResult:
    """Time one case, each precision in a fresh process: at the most classes one holds gigabytes."""
    times = {
        precision: in_a_process(measure, num_classes, width, precision, pairs)
        for precision in PRECISIONS
    }
    return WorkerResult(num_classes, width, times)


def measure(num_classes: int, width: int, precision: str, pairs: int) -> Side:
    """Run a worker in this process; one turn comes before those that count.

    Its last updates are left to do, lest a checkpoint of gigabytes is written.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        job = job_of(num_classes, width, precision, (pairs + 2) * BLOCK)
        worker = Worker(job, Path(folder))
        worker.turn()
        turns = [_timed(worker) for _ in range(pairs)]
    return Side.of(turns, BLOCK)


def _timed(worker: Worker) -> float:
    began = time.perf_counter()
    worker.turn()
    return time.perf_counter() - began
