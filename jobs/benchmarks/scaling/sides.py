"""The two sides of the scaling benchmark in a process: a worker of ours, and a bare loop."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist
from common.deepspeed_loop import Bare, untrained
from common.turns import Worker

from scaling.cases import Case


class Both:
    """Ours and the bare loop of one case, in this process; all workers make the same calls.

    Args:
        case: what to train.
        folder: where our run goes.
    """

    def __init__(self, case: Case, folder: Path) -> None:
        training, side, rank = case.training, str(case), dist.get_rank()
        self._bare = Bare(training, untrained(training, folder))
        self._ours = Worker(training.job(side), folder / side, rank, side)
        self._block = training.block
        self._done = 0

    def ours(self) -> None:
        """A turn of ours."""
        self._ours.turn()

    def bare(self) -> None:
        """A turn of the bare loop."""
        self._bare.run(self._done, self._done + self._block)
        self._done += self._block

    def close(self) -> float:
        """End ours; the largest difference between the losses of an update, 0 but on worker 0."""
        self._ours.close()
        bare = self._bare.losses()
        if dist.get_rank() > 0:
            return 0.0
        pairs = zip(self._ours.losses(), bare, strict=True)
        return max(abs(mine - other) for mine, other in pairs)
