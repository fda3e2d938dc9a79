"""How much more memory a worker's process needs for training than for its imports."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from common.deepspeed_loop import Bare, Case

from loop.sides import Ours, plain_model
from loop.workers import in_workers

UPDATES = 8


def growth_of(case: Case, is_ours: bool) -> int:
    """Bytes by which the largest resident size of worker 0 exceeds that at its start.

    A few updates with nothing else in the process, data and model included. Imports are none of
    it; pages of libraries' code that training is the first to touch are.
    """
    short = replace(case, block=UPDATES, blocks=1)
    grown: int = in_workers(_growth, case.workers, short, is_ours)
    return grown


def _growth(folder: Path, case: Case, is_ours: bool) -> int:
    before = _resident_bytes("VmRSS")
    side = Ours(case, folder / "run") if is_ours else Bare(case, plain_model(case))
    side.run(0, case.steps)
    largest = _resident_bytes("VmHWM")
    if isinstance(side, Ours):
        side.close()  # it ends with a checkpoint, which a bare loop has not
    return largest - before


def _resident_bytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * 1024
