"""A strategy for jobs in tests: training waits a little in each update, or loses a worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from trainwright.strategy import Batch, Compute, Context, Loss, Strategy


class Pace(Strategy):
    """Slow while there is a file ``slow``; a file ``die`` kills the last worker, once.

    Args:
        orders: the folder of these files.
    """

    def __init__(self, orders: str) -> None:
        self.orders = Path(orders)

    def begin(self, context: Context) -> None:
        self.is_last = context.rank == context.world_size - 1

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        if (self.orders / "slow").exists():
            time.sleep(0.1)
        if self.is_last and (self.orders / "die").exists():
            (self.orders / "die").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return compute(batch)
