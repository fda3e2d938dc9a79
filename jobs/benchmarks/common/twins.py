"""Two whole workers of ours in one process that train in turn: what one costs beside the other."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
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
UPDATES = 8
"""In an epoch, which is a turn: what is done between epochs is part of each."""
SIDES = ("ours", "bare")


@dataclass(frozen=True)
class Compared:
    """What came of two workers.

    Attributes:
        ratio: of the seconds that passed, ours over bare.
        cpu: ratio of the processor seconds.
        ours: seconds per update of the one.
        bare: seconds per update of the other.
    """

    ratio: Ratio
    cpu: Ratio
    ours: Side
    bare: Side


def job_of(values: Mapping[str, Any], side: str, pairs: int) -> TrainJob:
    """The job of one side, as many epochs as there are turns.

    Args:
        values: of a job with SGD and the local engine; ``data.batch_size`` is needed.
        side: of ``SIDES``.
        pairs: that count.
    """
    epochs, data = pairs + WARM_UP, values["data"]
    source = {**data["source"], "num_samples": UPDATES * data["batch_size"]}
    turns = {"name": "common.turns:Turns", "block": UPDATES, "side": side}
    return TrainJob.model_validate(
        {
            "name": f"benchmark-{side}",
            "objective": "cross_entropy",
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
            "engine": "local",
            "cluster": {"workers": 0},
            **values,
            "data": {**data, "source": source},
            "strategies": [*values.get("strategies", ()), turns],
            "training": {
                "epochs": epochs,
                "checkpoint_every": f"{epochs} epochs",
                "max_grad_norm": 5.0,
            },
        }
    )


def compare(ours: Mapping[str, Any], bare: Mapping[str, Any], pairs: int) -> Compared:
    """Time two jobs in a fresh process; ``pairs`` count, a few more come before them.

    Args:
        ours: values of the one job, see :func:`job_of`.
        bare: of the other.
        pairs: how often is measured.
    """
    context = mp.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=_answer, args=(ours, bare, pairs, answer))
    with environment_of(worker_environment(1, uses_gpu=False)):
        child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"the process that measured ended with status {child.exitcode}")
    result: Compared = answer.get()
    return result


def _answer(ours: Mapping[str, Any], bare: Mapping[str, Any], pairs: int, answer: Any) -> None:
    answer.put(_measure({"ours": ours, "bare": bare}, pairs))


def _measure(jobs: Mapping[str, Mapping[str, Any]], pairs: int) -> Compared:
    """Run both sides in this process."""
    torch.set_num_threads(1)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        workers = [
            Worker(job_of(jobs[side], side, pairs), Path(folder) / side, side=side)
            for side in SIDES
        ]
        turns = [_timed(worker) for worker in workers]
        interleave(turns[0], turns[1], WARM_UP)
        times = interleave(turns[0], turns[1], pairs)
        for worker in workers:
            worker.close()
    wall, cpu = ([[piece[clock] for piece in side] for side in times] for clock in (0, 1))
    sides = (Side.of(side, UPDATES) for side in wall)
    return Compared(ratio_of(*wall), ratio_of(*cpu), *sides)


def _timed(worker: Worker) -> Callable[[], tuple[float, float]]:
    """Runs the next turn of a worker: seconds, and of processor."""

    def run() -> tuple[float, float]:
        began, used = time.perf_counter(), time.process_time()
        worker.turn()
        return time.perf_counter() - began, time.process_time() - used

    return run
