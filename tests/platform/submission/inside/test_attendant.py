"""The process beside a run: what it tells and keeps, and that it is in nobody's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import wait_until

from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.submission.inside import attendant as module
from trainwright.submission.inside.attendant import Attendant
from trainwright.submission.inside.kept_logs import PLACE

DRIVER = """
import ctypes, faulthandler, sys
from pathlib import Path
from trainwright.storage import Folder
from trainwright.submission.inside.attendant import Attendant

faulthandler.enable()
attendant = Attendant("job-01234567")
print("a token: hunter2-hunter2", flush=True)
attendant.started(Folder(sys.argv[1]), Path("driver.log"))
sys.stdin.readline()
ctypes.string_at(0)
"""


@pytest.fixture
def run(tmp_path: Path) -> Folder:
    """A run on its way."""
    folder = Folder(str(tmp_path / "digits-0"))
    RunRecord("digits-0", steps=5, total_steps=10).save(folder)
    return folder


def kept(run: Folder) -> str:
    """The kept logs, one after the other."""
    return "".join(path.read_text() for path in sorted((run.local_path() / PLACE).glob("*.log")))


def test_the_last_words_of_a_crash_are_kept(tmp_path: Path, run: Folder) -> None:
    """The driver is gone in an instant; its attendant survives it, and SIGTERM to all of a job."""
    log = tmp_path / "job.log"
    with log.open("w") as output:
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, run.url],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env={**os.environ, "STORE_TOKEN": "hunter2-hunter2"},
            cwd=tmp_path,
        )
    wait_until(lambda: "progress: step 5 of 10 (50%)\n" in log.read_text(), what="progress")
    (attendant,) = psutil.Process(driver.pid).children()
    attendant.send_signal(signal.SIGTERM)
    driver.communicate(b"now\n")
    assert driver.returncode == -signal.SIGSEGV
    attendant.wait(60)
    assert "Segmentation fault" in log.read_text()
    assert kept(run) == log.read_text().replace("hunter2-hunter2", "***")


@pytest.fixture
def attendant() -> Iterator[Attendant]:
    made = Attendant("job-01234567")
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def test_one_that_hangs_delays_the_end_by_seconds(
    attendant: Attendant, run: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.1)
    attendant.started(run, Path("driver.log"))
    assert attendant.process is not None
    attendant.process.send_signal(signal.SIGSTOP)
    attendant.ended()
    attendant.close()
    assert attendant.process.poll() is None


def test_one_that_died_is_not_missed(attendant: Attendant, run: Folder) -> None:
    attendant.started(run, Path("driver.log"))
    assert attendant.process is not None
    attendant.process.kill()
    attendant.process.wait()
    attendant.ended()
    attendant.close()


def test_one_that_cannot_be_started_neither(
    attendant: Attendant, run: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    attendant.started(run, Path("driver.log"))
    attendant.ended()
    attendant.close()
