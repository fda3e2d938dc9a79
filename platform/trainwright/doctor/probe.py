"""Trying something in a process of its own, where it can crash, hang or print what it likes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Probe:
    """How a trial ended.

    Attributes:
        worked: whether it ended well and in time.
        answer: the last line of its standard output.
        trouble: why it did not work, one line.
    """

    worked: bool
    answer: str = ""
    trouble: str = ""


def try_out(code: str, *, timeout_s: float, environment: Mapping[str, str] | None = None) -> Probe:
    """Run Python code in a fresh process.

    Args:
        code: Python source; its last line of output is the answer.
        timeout_s: when it, and all it has started, is ended.
        environment: variables for it, besides those of this process.
    """
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code],
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Probe(False, trouble=f"no answer within {timeout_s:.0f} s")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    if process.returncode == 0:
        return Probe(True, answer=_last_line(output))
    return Probe(False, trouble=_last_line(errors) or f"exit status {process.returncode}")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
