"""Keeping libraries' noise out of the terminal: it goes to a log file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment of every process of a run: no usage reports, no banners."""


def set_defaults(environment: dict[str, str]) -> None:
    """Set what the user has not set."""
    for name, value in environment.items():
        os.environ.setdefault(name, value)


@contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Inside, everything written to standard output and error, by any library, goes to ``path``.

    Works on file descriptors, so that C++ code and child processes are caught as well.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for saved, target in zip(kept, (1, 2), strict=True):
            os.dup2(saved, target)
            os.close(saved)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or an empty text when there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
