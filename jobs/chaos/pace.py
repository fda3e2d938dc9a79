"""A probe for the job under fire: it keeps a pace and tells which process trains which step."""

from __future__ import annotations

import os
import time
from pathlib import Path

from trainwright.strategy import Context, Declares, Step, Strategy


class Pace(Strategy):
    """Let no update take less than a given time, and note each in a file outside of the run.

    Args:
        folder: where the files ``workers`` (rank and process of every worker that ever began) and
            ``steps`` (time and number of every update of rank 0) are appended to.
        step_s: seconds that an update takes at least.
    """

    declares = Declares(probe=True)

    def __init__(self, folder: str, step_s: float = 0.0) -> None:
        if step_s < 0:
            raise ValueError(f"step_s must be at least 0, got {step_s!r}")
        self.folder = Path(folder)
        self.step_s = step_s

    def begin(self, context: Context) -> None:
        self.rank = context.rank
        self._note("workers", f"{context.rank} {os.getpid()}")

    def updated(self, step: Step) -> None:
        if self.rank == 0:
            self._note("steps", f"{time.time():.3f} {step.index + 1}")
        time.sleep(self.step_s)

    def _note(self, name: str, line: str) -> None:
        with (self.folder / name).open("a") as file:
            file.write(line + "\n")
