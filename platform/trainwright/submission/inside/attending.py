"""The process beside a run on a cluster: tells how far it is, and keeps its logs.

The driver starts it (:class:`trainwright.submission.inside.attendant.Attendant`) and holds its
standard input open. It reads nothing but the run's record and the logs, so that it costs training
nothing and can do its last work after a crash of the driver, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from trainwright.runs import RunRecord
from trainwright.secrets import mask
from trainwright.storage import Folder
from trainwright.submission.inside.annotations import Annotations
from trainwright.submission.inside.kept_logs import KeptLog, Source
from trainwright.submission.inside.pace import Pace
from trainwright.submission.kubernetes import marks
from trainwright.submission.progress import Progress

ERRAND = "TRAINWRIGHT_ATTEND"
"""Environment variable that says, in JSON, which run to attend and which logs to keep."""

SECONDS_BETWEEN_LOOKS = 10.0
SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_COPIES = 30.0
_FIRST_S = 2.0
_LAST_S = 60
"""After the driver's end, whatever a store or a server may be waiting for."""


@dataclass
class Rhythm:
    """When to do something: soon at first, so that short jobs are seen too, then seldom.

    Attributes:
        most_s: longest pause.
    """

    most_s: float
    _pause_s: float = _FIRST_S
    _next: float = field(default_factory=lambda: time.monotonic() + _FIRST_S)

    def is_due(self) -> bool:
        """Whether it is time again; then the pause begins anew."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._pause_s = min(2 * self._pause_s, self.most_s)
        self._next = now + self._pause_s
        return True


class Driver:
    """The process beside which this one stands."""

    def __init__(self) -> None:
        self.is_there = True
        self.says_the_end = False
        self._parent = os.getppid()
        # Whoever stops a job sends this to all its processes; this one ends after the driver.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def wait(self, seconds: float) -> None:
        """Pause, but no longer than until the driver says something, or ends."""
        ready, _, _ = select.select([0], [], [], seconds)
        if ready and not os.read(0, 64):
            self.is_there = False
        elif ready:
            self.says_the_end = True
        if os.getppid() != self._parent:
            self.is_there = False


class Reporter:
    """Tells how far a run is: in the log, and on its RayJob where there is one.

    Args:
        folder: the run's folder.
        annotations: of the RayJob.
    """

    def __init__(self, folder: Folder, annotations: Annotations | None) -> None:
        self._folder = folder
        self._annotations = annotations
        self._pace = Pace()
        self._said: Progress | None = None
        self._due = Rhythm(SECONDS_BETWEEN_LINES)

    def report(self, is_last: bool = False, in_log: bool = True) -> None:
        """Look once; never raises."""
        with contextlib.suppress(Exception):  # a store that does not answer will another time
            record = RunRecord.load(self._folder)
            if record is None:
                return
            progress = self._pace.progress(record)
            if in_log and self._has_news(progress) and self._due.is_due():
                self._said = progress
                say(progress.log_line)
            if self._annotations is not None:
                self._annotations.put(self._values(progress), at_once=is_last)

    def _has_news(self, progress: Progress) -> bool:
        return self._said is None or progress.step != self._said.step

    def _values(self, progress: Progress) -> dict[str, str]:
        return {
            marks.PROGRESS: progress.to_text(),
            marks.RUN: self._folder.name,
            marks.STORAGE: mask(self._folder.url),
        }


def say(text: str) -> None:
    """One line into the log."""
    print(mask(text), flush=True)


def remark(text: str) -> None:
    """Something that is no progress."""
    say(f"note: {text}")


def attend(driver: Driver, reporter: Reporter, logs: Sequence[KeptLog]) -> None:
    """Until the driver has ended, and once more then."""
    look, copy = Rhythm(SECONDS_BETWEEN_LOOKS), Rhythm(SECONDS_BETWEEN_COPIES)
    while driver.is_there:
        driver.wait(1.0)
        if look.is_due():
            reporter.report(in_log=not driver.says_the_end)
        if copy.is_due():
            for log in logs:
                log.keep()
    signal.alarm(_LAST_S)
    for log in logs:
        log.keep(is_whole=True)
    reporter.report(is_last=True, in_log=False)


def main() -> None:
    """Attend the run that the environment names."""
    errand = json.loads(os.environ[ERRAND])
    folder, rayjob = Folder(errand["run"]), os.environ.get(marks.RAYJOB)
    annotations = Annotations(rayjob, remark) if rayjob else None
    sources = [Source(**source) for source in errand["logs"]]
    logs = [KeptLog(source, folder, errand["name"], remark) for source in sources]
    attend(Driver(), Reporter(folder, annotations), logs)


if __name__ == "__main__":
    main()
