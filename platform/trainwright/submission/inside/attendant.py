"""The driver's handle on the process beside its run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.submission.inside.attending import ERRAND
from trainwright.submission.inside.kept_logs import PLACE, Source, name_of, printed
from trainwright.submission.inside.pace import Pace
from trainwright.submission.kubernetes import marks

_MODULE = "trainwright.submission.inside.attending"
PATIENCE_S = 10.0


class Attendant:
    """Starts that process when a run begins, and gives it a moment at the end.

    Nothing here raises, and a run without it lacks no more than progress in the log and kept logs.
    Make it before anything is printed: the log of this attempt begins there.

    Args:
        submission: its name.

    Attributes:
        process: that process; None before a run has begun, and where it cannot be started.
    """

    def __init__(self, submission: str) -> None:
        self._name = name_of(submission, time.time())
        self._printed = printed(1, 2)
        self._folder: Folder | None = None
        self.process: subprocess.Popen[bytes] | None = None

    def started(self, folder: Folder, log: Path) -> str | None:
        """The run begins in its folder; where the driver's log is kept, if not at ``log`` alone."""
        self._folder = folder
        if folder.is_local:  # the driver's log lies there already
            self._spawn(folder, self._printed)
            return None
        before = log.stat().st_size if log.exists() else 0
        driver = Source(str(log), before, "-driver.log")
        self._spawn(folder, [*self._printed, driver])
        return f"{folder.url.rstrip('/')}/{PLACE}/{self._name}{driver.ending}"

    def ended(self) -> None:
        """The run has ended: its last progress is told before the last words on it."""
        if self._folder is None or self.process is None or self.process.stdin is None:
            return
        with contextlib.suppress(Exception):  # that process is gone, or the store does not answer
            self.process.stdin.write(b"ended\n")
            self.process.stdin.flush()
        with contextlib.suppress(Exception):
            record = RunRecord.load(self._folder)
            if record is not None:
                print(Pace().progress(record).log_line, flush=True)

    def close(self, storage: str | None = None) -> None:
        """All is said: let it write the last progress and copy the log, for a few seconds.

        Args:
            storage: folder of a run that was finished before, on which nothing was begun.
        """
        if self.process is None and storage is not None and marks.RAYJOB in os.environ:
            self._spawn(Folder(storage), [])
        if self.process is None or self.process.stdin is None:
            return
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            self.process.stdin.close()
            self.process.wait(PATIENCE_S)

    def _spawn(self, folder: Folder, logs: list[Source]) -> None:
        errand = {"run": folder.url, "name": self._name, "logs": [asdict(log) for log in logs]}
        # A URL may hold what others should not read from the list of processes.
        environ = {ERRAND: json.dumps(errand), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
        with contextlib.suppress(OSError):
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", _MODULE],
                stdin=subprocess.PIPE,
                env={**os.environ, **environ},
                # Ray kills the driver's group as soon as the driver has gone.
                start_new_session=True,
            )
