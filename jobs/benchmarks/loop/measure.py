"""Our training loop against a bare DeepSpeed loop: time per update, as a ratio.

Both train the same model on the same samples with the same configuration, in the same
processes, in turn; their losses have to agree. See README.md beside this file.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from common.children import environment_of
from common.pairs import Ratio, Side, interleave, ratio_of

from loop.sides import Bare, Case, Ours, untrained
from trainwright.orchestration.processes import worker_environment

TOLERANCE = 1e-5
GOALS = {"convnet": 1.02, "mlp": 1.05}
WARM_UP = 2
PLACES = ((0, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 2))
"""ZeRO stage and number of workers of each case."""

SHAPES = {"convnet": (64, 8), "mlp": (64, 32)}
"""Samples per update and updates per timed piece: pieces of about a fifth of a second."""


@dataclass(frozen=True)
class LoopResult:
    """What came of one case.

    Attributes:
        case: what was trained.
        wall: ratio of the seconds that passed.
        cpu: ratio of the processor seconds that the processes used, on which a busy machine
            has less influence.
        ours: seconds per update.
        bare: seconds per update.
        worst_loss_difference: over all updates.
    """

    case: Case
    wall: Ratio
    cpu: Ratio
    ours: Side
    bare: Side
    worst_loss_difference: float

    @property
    def goal(self) -> float:
        """What the ratio of seconds shall not exceed."""
        return GOALS[self.case.model]


def cases(pairs: int) -> list[Case]:
    """All cases, with ``pairs`` timed pairs each."""
    return [
        Case(model, stage, workers, *SHAPES[model], pairs + WARM_UP)
        for model in GOALS
        for stage, workers in PLACES
    ]


def compare(case: Case) -> LoopResult:
    """Run one case in fresh processes.

    Raises:
        AssertionError: the losses of the two sides differ.
    """
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        answer = mp.get_context("spawn").SimpleQueue()
        with environment_of(worker_environment(1, uses_gpu=False)):
            mp.spawn(_worker, (case, folder, answer), nprocs=case.workers)
        result: LoopResult = answer.get()
        return result


def _worker(rank: int, case: Case, folder: str, answer: Any) -> None:
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(case.workers))
    rendezvous = f"file://{folder}/rendezvous"
    dist.init_process_group("gloo", rank=rank, world_size=case.workers, init_method=rendezvous)
    result = measure(case, Path(folder) / "run")
    if rank == 0:
        answer.put(result)
    dist.destroy_process_group()


def measure(case: Case, folder: Path) -> LoopResult | None:
    """Run both sides in the process group of this process; the result on worker 0."""
    ours = Ours(case, folder)
    bare = Bare(case, untrained(case, folder))
    sides = _timed(ours, case), _timed(bare, case)
    interleave(*sides, WARM_UP)
    times = interleave(*sides, case.blocks - WARM_UP)
    ours.close()
    losses = bare.losses()
    if dist.get_rank() > 0:
        return None
    worst = worst_difference(ours.losses(), losses)
    assert worst <= TOLERANCE, f"{case}: the losses differ by {worst:.2e}"
    wall, cpu = ([[piece[clock] for piece in side] for side in times] for clock in (0, 1))
    mine, theirs = (Side.of(side, case.block) for side in wall)
    return LoopResult(case, ratio_of(*wall), ratio_of(*cpu), mine, theirs, worst)


def _timed(side: Ours | Bare, case: Case) -> Callable[[], tuple[float, float]]:
    """Runs the next piece of one side: seconds until all workers were done, and of processor.

    In a thread, for so does Ray, and our side has one of its own.
    """
    starts: Iterator[int] = iter(range(0, case.steps, case.block))
    thread = ThreadPoolExecutor(1)

    def run() -> tuple[float, float]:
        first = next(starts)
        dist.barrier()
        began, used = time.perf_counter(), time.process_time()
        thread.submit(side.run, first, first + case.block).result()
        dist.barrier()
        return time.perf_counter() - began, time.process_time() - used

    return run


def worst_difference(ours: list[float], bare: list[float]) -> float:
    """The largest difference between the losses of the same update.

    Raises:
        AssertionError: not as many of one side as of the other.
    """
    assert len(ours) == len(bare), f"{len(ours)} losses and {len(bare)}"
    return max(abs(a - b) for a, b in zip(ours, bare, strict=True))
