"""Keeping libraries' noise out of the terminal: it goes to a log file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from trainwright.secrets import mask

if TYPE_CHECKING:
    from typing_extensions import Buffer as ReadableBuffer

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

    Works on file descriptors, so that C++ code and child processes are caught as well. What
    Python prints is lost where the disk is full: nothing fails for want of room in a log.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with path.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        with redirect_stdout(_lenient(1)), redirect_stderr(_lenient(2)):
            yield
    finally:
        for stream in (sys.stdout, sys.stderr):  # what was printed by who held on to them
            with suppress(OSError):
                stream.flush()
        for saved, target in zip(kept, (1, 2), strict=True):
            os.dup2(saved, target)
            os.close(saved)


class _Lenient(io.FileIO):
    """A file that takes everything, whatever becomes of it."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write; where the disk refuses, ``data`` is lost."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


class _Masked(io.TextIOWrapper):
    """Text in which nothing secret is shown."""

    def write(self, text: str, /) -> int:
        """Write the masked text."""
        super().write(mask(text))
        return len(text)


def _lenient(descriptor: int) -> TextIO:
    """A text stream to ``descriptor`` that never fails."""
    raw = io.BufferedWriter(_Lenient(descriptor, "wb", closefd=False))
    return _Masked(raw, errors="replace", line_buffering=True)


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, or an empty text when there is none."""
    if not path.exists():
        return ""
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
