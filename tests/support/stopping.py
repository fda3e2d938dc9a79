"""A strategy that asks its own process to stop, as Ctrl-C does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from trainwright.strategy import Step, Strategy


class StopsItself(Strategy):
    """Sends SIGINT after an update, as long as a file is there.

    Args:
        at: index of the update.
        file: removed when it is done.
    """

    def __init__(self, at: int, file: str) -> None:
        self.at = at
        self.file = Path(file)

    def updated(self, step: Step) -> None:
        if step.index == self.at and self.file.exists():
            self.file.unlink()
            os.kill(os.getpid(), signal.SIGINT)
