"""PA&DA against uniform sampling of paths: time per update of a supernet, as a ratio.

Two whole workers in one process train the same supernet on the same samples, in turn. With
tau 0 both draw the same paths, lest those with more weights, which PA&DA prefers, count as a cost
of drawing. See README.md beside this file.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp
from common.children import environment_of
from common.pairs import Ratio, Side, interleave, ratio_of
from common.turns import Worker

from trainwright.job.models import TrainJob
from trainwright.orchestration.processes import worker_environment

WARM_UP = 2
SIDES: dict[str, list[dict[str, Any]]] = {
    "ours": [{"name": "pada", "tau_schedule": 0.0}],
    "bare": [{"name": "uniform_path_sampling"}],
}


@dataclass(frozen=True)
class Supernet:
    """What both sides train.

    Attributes:
        name: in the table.
        model: the model's section of the job.
        source: the data's.
        batch_size: samples per update.
        goal: what the ratio shall not exceed; None for none.
    """

    name: str
    model: dict[str, Any]
    source: dict[str, Any]
    batch_size: int
    goal: float | None


IMAGES = {"name": "synthetic_images", "image_size": 32, "channels": 3}
VECTORS = {"name": "synthetic_classification", "num_features": 64, "num_classes": 10}
SUPERNETS = (
    Supernet("cells, 16 channels", {"name": "cell_supernet", "cells": 1}, IMAGES, 64, 1.05),
    Supernet("cells, 16 channels, 5 in a group", {"name": "cell_supernet"}, IMAGES, 16, 1.05),
    Supernet("bottlenecks, width 8", {"name": "residual_supernet"}, VECTORS, 64, None),
)
UPDATES = 8
"""In an epoch, which is a turn: what is done between epochs is part of each."""


@dataclass(frozen=True)
class PathsResult:
    """What came of one supernet.

    Attributes:
        name: of the supernet.
        ratio: of the seconds that passed, PA&DA over uniform paths.
        cpu: ratio of the processor seconds.
        ours: seconds per update with PA&DA.
        bare: seconds per update with uniform paths.
        goal: what the ratio of seconds shall not exceed; None for none.
    """

    name: str
    ratio: Ratio
    cpu: Ratio
    ours: Side
    bare: Side
    goal: float | None


def job_of(supernet: Supernet, side: str, pairs: int) -> TrainJob:
    """The job of one side, as many epochs as there are turns."""
    epochs = pairs + WARM_UP
    return TrainJob.model_validate(
        {
            "name": f"benchmark-{side}",
            "data": {
                "source": {**supernet.source, "num_samples": UPDATES * supernet.batch_size},
                "batch_size": supernet.batch_size,
            },
            "model": supernet.model,
            "objective": "cross_entropy",
            "strategies": [
                *SIDES[side],
                {"name": "common.turns:Turns", "block": UPDATES, "side": side},
            ],
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            "training": {
                "epochs": epochs,
                "checkpoint_every": f"{epochs} epochs",
                "max_grad_norm": 5.0,
            },
            "engine": "local",
            "cluster": {"workers": 0},
        }
    )


def compare(supernet: Supernet, pairs: int) -> PathsResult:
    """Time one supernet in a fresh process; ``pairs`` count, a few more come before them."""
    context = mp.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=_answer, args=(supernet, pairs, answer))
    with environment_of(worker_environment(1, uses_gpu=False)):
        child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"the process that measured ended with status {child.exitcode}")
    result: PathsResult = answer.get()
    return result


def _answer(supernet: Supernet, pairs: int, answer: Any) -> None:
    answer.put(measure(supernet, pairs))


def measure(supernet: Supernet, pairs: int) -> PathsResult:
    """Run both sides in this process."""
    torch.set_num_threads(1)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        workers = [
            Worker(job_of(supernet, side, pairs), Path(folder) / side, side=side) for side in SIDES
        ]
        turns = [_timed(worker) for worker in workers]
        interleave(turns[0], turns[1], WARM_UP)
        times = interleave(turns[0], turns[1], pairs)
        for worker in workers:
            worker.close()
    wall, cpu = ([[piece[clock] for piece in side] for side in times] for clock in (0, 1))
    ours, bare = (Side.of(side, UPDATES) for side in wall)
    ratios = ratio_of(*wall), ratio_of(*cpu)
    return PathsResult(supernet.name, *ratios, ours, bare, supernet.goal)


def _timed(worker: Worker) -> Callable[[], tuple[float, float]]:
    """Runs the next turn of a worker: seconds, and of processor."""

    def run() -> tuple[float, float]:
        began, used = time.perf_counter(), time.process_time()
        worker.turn()
        return time.perf_counter() - began, time.process_time() - used

    return run
