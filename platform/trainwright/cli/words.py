"""Times, numbers and commands in the form in which people read them."""

from __future__ import annotations

import math
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 07 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(since_1970: float) -> str:
    """Local date and time to the minute."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(since_1970))


def number(value: float) -> str:
    """Four significant digits; more only before the point."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def metrics(values: Mapping[str, float], most: int | None = None) -> str:
    """``validation/accuracy 0.9712, validation/loss 0.103``; accuracies and the like first.

    Args:
        values: metric -> value.
        most: only so many, the most important ones; by default all.
    """
    names = sorted(values, key=importance)
    more = [] if most is None or len(names) <= most else ["..."]
    return ", ".join([*(f"{name} {number(values[name])}" for name in names[:most]), *more])


def importance(name: str) -> tuple[int, bool, str]:
    """Sorts test, validation, other and training results, losses last in each, then counts."""
    split, _, metric = name.rpartition("/")
    order = {"test": 0, "validation": 1, "train": 3, "federation": 4}.get(
        split.partition("/")[0], 2
    )
    return (order, metric == "loss", name)


def command(*parts: str) -> str:
    """A command line that can be pasted into the shell from which this program was called."""
    name, *rest = parts
    return shlex.join([_program(name), *rest])


def _program(name: str) -> str:
    """``name``, or its path where this program, from the same environment, needed one."""
    called = Path(sys.argv[0])
    found = shutil.which("trainwright")
    if called.name != "trainwright" or (found is not None and called.samefile(found)):
        return name
    return str(called.with_name(name))
