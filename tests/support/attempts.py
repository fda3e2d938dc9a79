"""Attempts at a job that was sent to a cluster: what a target starts there, as a process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import driving

from trainwright.submission.parcel import JOB, ORDERS, SUBMISSION, Orders


def unpack(folder: Path, values: Mapping[str, Any], *overrides: str) -> Path:
    """The folder of a parcel as it lies on a cluster, with the job ``values`` in it."""
    driving.write_job(folder, values, JOB)
    (folder / ORDERS).write_bytes(Orders(overrides).to_bytes())
    return folder


class Attempt:
    """``python -m trainwright.submission.inside``, with everything imported beforehand.

    Args:
        parcel: its folder.
        log: takes what it prints, as the file does in which Ray has a job print.
        submission: its name.
        environment: further variables.
    """

    def __init__(
        self,
        parcel: Path,
        log: Path,
        submission: str = "digits-01234567",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        variables = {**os.environ, SUBMISSION: submission, **(environment or {})}
        self._log = log
        self._driver = driving.call(_run, str(parcel), str(log), variables)

    @property
    def log(self) -> str:
        """What it has printed so far."""
        return self._log.read_text() if self._log.exists() else ""

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self._driver.process.pid, number)

    def wait(self) -> int:
        """Its exit status, negative for a signal."""
        return self._driver.wait()

    def until(self, text: str) -> None:
        """Wait for something that it prints."""

        def happened() -> bool:
            if text in self.log:
                return True
            assert self._driver.process.is_alive(), f"ended before {text!r}:\n{self.log}"
            return False

        driving.wait_until(happened, what=text)


def _run(parcel: str, log: str, environment: Mapping[str, str]) -> None:
    from trainwright.submission.inside.__main__ import main

    os.environ.update(environment)
    os.chdir(parcel)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(output, descriptor)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    raise SystemExit(main())
