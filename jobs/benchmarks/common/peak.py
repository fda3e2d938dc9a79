"""How much memory a process takes at most from a moment on.

Nothing here imports Trainwright: it runs in the environments of peers too.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")


class Growth:
    """How far the process's memory grows over what it is now (Linux with glibc).

    Pages of files, as libraries are, do not count: who touches them first is chance. What is free
    goes back to the system and the kernel's mark of the most is set back first; ``ru_maxrss`` would
    not do, for it may be that of the process that started this one.
    """

    def __init__(self) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        RESET.write_text("5")
        self._before = _kib("RssAnon")

    def bytes(self) -> int:
        """The most that was taken since, less what was there."""
        most = _kib("VmHWM") - _kib("RssFile") - _kib("RssShmem")
        return 1024 * (most - self._before)


def _kib(key: str) -> int:
    lines = STATUS.read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{key}:")]
    return int(line.split()[1])
