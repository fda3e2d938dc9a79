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
GROUPS = 4
"""How often both are started anew."""

Pieces = tuple[list[tuple[float, float]], list[tuple[float, float]]]


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
    """Time two jobs in a fresh process, several times where there are pairs for it.

    Args:
        ours: values of the one job, see :func:`job_of`.
        bare: of the other.
        pairs: how often is measured; a few more come before them.
    """
    groups = max(1, min(GROUPS, pairs // 3))
    jobs = {"ours": ours, "bare": bare}
    found = [_in_a_process(jobs, pairs // groups) for _ in range(groups)]
    wall, cpu = (
        [[piece[clock] for group in found for piece in group[side]] for side in (0, 1)]
        for clock in (0, 1)
    )
    ratios = (ratio_of(*clock, groups=groups) for clock in (wall, cpu))
    return Compared(*ratios, *(Side.of(side, UPDATES) for side in wall))


def _in_a_process(jobs: Mapping[str, Mapping[str, Any]], pairs: int) -> Pieces:
    context = mp.get_context("spawn")
    answer = context.SimpleQueue()
    child = context.Process(target=_answer, args=(jobs, pairs, answer))
    with environment_of(worker_environment(1, uses_gpu=False)):
        child.start()
    child.join()
    if child.exitcode:
        raise RuntimeError(f"the process that measured ended with status {child.exitcode}")
    result: Pieces = answer.get()
    return result


def _answer(jobs: Mapping[str, Mapping[str, Any]], pairs: int, answer: Any) -> None:
    answer.put(_measure(jobs, pairs))


def _measure(jobs: Mapping[str, Mapping[str, Any]], pairs: int) -> Pieces:
    """Run both sides in this process: seconds, and of processor, of all pieces of each."""
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
    return times


def _timed(worker: Worker) -> Callable[[], tuple[float, float]]:
    """Runs the next turn of a worker: seconds, and of processor."""

    def run() -> tuple[float, float]:
        began, used = time.perf_counter(), time.process_time()
        worker.turn()
        return time.perf_counter() - began, time.process_time() - used

    return run
