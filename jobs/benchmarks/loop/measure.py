"""Our training loop against a bare DeepSpeed loop: time per update, as a ratio.

Both train the same model on the same samples with the same configuration, in the same
processes, in turn; their losses have to agree. See README.md beside this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch.distributed as dist
from common.deepspeed_loop import Bare, Case, untrained
from common.models import MODELS
from common.pairs import Ratio, Side, interleave, ratio_of

from loop.memory import growth_of
from loop.sides import Ours
from loop.workers import in_workers

TOLERANCE = 1e-5
WARM_UP = 2
GROUPS = 4
"""How often the processes of a case are started anew."""

PLACES = ((0, 1), (2, 1), (0, 2), (1, 2), (2, 2), (3, 2))
"""ZeRO stage and number of workers of each case."""

BLOCKS = {"convnet": (16, 20, 10), "gpt": (8, 10, 8), "mlp": (96, 40, 20)}
"""Updates in a timed piece with one worker, with two, and with two at stage 3: about 0.3 s."""


@dataclass(frozen=True)
class Pieces:
    """What one group of processes did.

    Attributes:
        times: of our pieces and of the bare ones: seconds that passed, and of processor.
        worst_loss_difference: over all updates.
    """

    times: tuple[list[tuple[float, float]], list[tuple[float, float]]]
    worst_loss_difference: float


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
        ours_growth: bytes that worker 0 needs beside what its imports take.
        bare_growth: likewise.
    """

    case: Case
    wall: Ratio
    cpu: Ratio
    ours: Side
    bare: Side
    worst_loss_difference: float
    ours_growth: int = 0
    bare_growth: int = 0

    @property
    def goal(self) -> float:
        """What the ratio of seconds shall not exceed."""
        return MODELS[self.case.model].goal


def cases(pairs: int) -> list[Case]:
    """All cases, with ``pairs`` timed pairs in a group, and half of them where one worker trains.

    Two workers and two processors leave none for anything else, so that their times differ more.
    """
    return [
        Case(
            model,
            stage,
            workers,
            MODELS[model].batch_size,
            BLOCKS[model][0 if workers == 1 else 1 if stage < 3 else 2],
            WARM_UP + (-(-pairs // 2) if workers == 1 else pairs),
        )
        for model in MODELS
        for stage, workers in PLACES
    ]


def compare(case: Case, groups: int) -> LoopResult:
    """Run one case in fresh processes several times, and again for the memory of each side.

    Raises:
        AssertionError: the losses of the two sides differ.
    """
    pieces = [in_workers(measure, case.workers, case) for _ in range(groups)]
    growth = [growth_of(case, is_ours) for is_ours in (True, False)]
    return result_of(case, pieces, *growth)


def result_of(
    case: Case, groups: Sequence[Pieces], ours_growth: int = 0, bare_growth: int = 0
) -> LoopResult:
    """What came of a case whose pieces were timed in some groups of processes."""
    wall, cpu = (
        [[piece[clock] for group in groups for piece in group.times[side]] for side in (0, 1)]
        for clock in (0, 1)
    )
    return LoopResult(
        case,
        *(ratio_of(*clock, groups=len(groups)) for clock in (wall, cpu)),
        *(Side.of(side, case.block) for side in wall),
        max(group.worst_loss_difference for group in groups),
        ours_growth,
        bare_growth,
    )


def measure(folder: Path, case: Case) -> Pieces | None:
    """Run both sides in the process group of this process; the result on worker 0."""
    run = folder / "run"
    ours = Ours(case, run)
    bare = Bare(case, untrained(case, run))
    sides = _timed(ours, case), _timed(bare, case)
    interleave(*sides, WARM_UP)
    times = interleave(*sides, case.blocks - WARM_UP)
    ours.close()
    losses = bare.losses()
    if dist.get_rank() > 0:
        return None
    worst = worst_difference(ours.losses(), losses)
    assert worst <= TOLERANCE, f"{case}: the losses differ by {worst:.2e}"
    return Pieces(times, worst)


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
