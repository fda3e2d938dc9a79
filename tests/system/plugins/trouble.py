"""A strategy for the trials of sweeps in tests: each kind of trouble that a trial may have."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from trainwright.strategy import Batch, Compute, Context, Loss, Step, Strategy


class Trouble(Strategy):
    """Get into trouble at the fourth update.

    Args:
        kind: ``none``; ``error`` raises each time, ``once`` the first time; ``kill`` kills its
            process the first time; ``nan`` makes the loss none; ``hold`` waits while there is a
            file ``hold``.
        folder: where the file ``attempts`` tells the kind and the process of each attempt.
    """

    def __init__(self, kind: str, folder: str) -> None:
        self.kind, self.folder = kind, Path(folder)
        self.done = 0

    def begin(self, context: Context) -> None:
        with (self.folder / "attempts").open("a") as file:
            file.write(f"{self.kind} {os.getpid()}\n")

    def _is_first(self) -> bool:
        marker = self.folder / f"was-{self.kind}"
        if marker.exists():
            return False
        marker.touch()
        return True

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        loss = compute(batch)
        is_due = self.kind == "nan" and self.done == 3
        return loss.plus(loss.value * float("nan"), "trouble") if is_due else loss

    def step(self, step: Step, take: Callable[[], None]) -> None:
        take()
        self.done = step.index
        if step.index != 3:
            return
        if self.kind == "error" or (self.kind == "once" and self._is_first()):
            raise ValueError("this trial is in trouble")
        if self.kind == "kill" and self._is_first():
            os.kill(os.getpid(), signal.SIGKILL)
        while self.kind == "hold" and (self.folder / "hold").exists():
            time.sleep(0.05)
