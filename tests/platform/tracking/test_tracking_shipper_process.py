"""The shipper as a process: killed drivers, broken shippers, signals, its command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shipped_runs import Wait, expected, losses, train

from trainwright.storage import Folder
from trainwright.tracking import (
    JournalWriter,
    ShipperProcess,
    read_all,
    read_state,
)
from trainwright.tracking import process as process_module
from trainwright.tracking import shipper as shipper_module
from trainwright.tracking.shipper import wait_for_rows

DRIVER = """
import sys, time
from pathlib import Path
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, ShipperProcess
folder = Folder(sys.argv[1])
shipper = ShipperProcess(folder, uri=sys.argv[2], experiment="digits", drain_timeout_s=20)
print(shipper.pid, flush=True)
with JournalWriter(folder, 1, [], 1, interval_s=0.05) as journal:
    for step in range(1, 51):
        journal.metrics(step, {"train/loss": 1 / step})
    journal.flush()
    time.sleep(600)
"""


def test_a_driver_that_is_killed_leaves_the_truth_behind(
    run: Any, database: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, run.folder.url, database.uri], stdout=subprocess.PIPE
    )
    assert driver.stdout is not None
    shipper_pid = int(driver.stdout.readline())
    wait_until(lambda: (state := read_state(run.folder)) and state.sent == 50)
    driver.kill()
    driver.wait()
    driver.stdout.close()
    wait_until(lambda: (state := read_state(run.folder)) and state.phase == "done")
    wait_until(lambda: not Path(f"/proc/{shipper_pid}").exists())
    (identity, _, state_name) = database.runs()[0]
    assert state_name == "KILLED"
    messages = [row["message"] for row in read_all(run.folder) if row["kind"] == "event"]
    assert messages == ["the driver ended without a final status"]

    shipper = start(database.uri)
    wait_until(lambda: database.runs()[0][2] == "RUNNING")
    with JournalWriter(run.folder, 2, [[1, 50]], 1) as journal:
        train(journal, range(51, 61))
    run.record("finished")
    shipper.finish()
    assert [(run_id, name) for run_id, _, name in database.runs()] == [(identity, "FINISHED")]
    assert losses(database, identity) == expected(range(1, 61))


def test_a_broken_shipper_is_replaced(
    run: Any,
    database: Any,
    start: Callable[..., ShipperProcess],
    wait_until: Wait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_module, "_RESTART_AFTER_S", 0.2)
    shipper = start(database.uri)
    first = shipper.pid
    with JournalWriter(run.folder, 1, [], 1) as journal:
        wait_until(lambda: (state := shipper.state()) and state.mlflow_run_id)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: shipper.pid != first)
        train(journal, range(1, 11))
    run.record("finished")
    state = shipper.finish()
    assert state is not None
    assert state.phase == "done"
    assert losses(database, database.runs()[0][0]) == expected(range(1, 11))


def test_a_termination_signal_leaves_the_status_of_a_living_driver(
    run: Any, database: Any, wait_until: Wait
) -> None:
    command = [sys.executable, "-m", "trainwright.tracking.shipper", "--run", run.folder.url]
    command += ["--uri", database.uri, "--experiment", "digits"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    with JournalWriter(run.folder, 1, [], 1):
        wait_until(lambda: (state := read_state(run.folder)) and state.status == "RUNNING")
    process.terminate()
    assert process.wait(120) == 0
    assert database.runs()[0][2] == "RUNNING"
    assert process.stdin is not None
    process.stdin.close()


def test_mlflow_is_told_of_a_run_that_has_begun(run: Any) -> None:
    """Not before: importing MLflow would take the time of workers that are starting."""
    moments = iter([False, False, True])

    class Watch:
        def wait(self, seconds: float) -> bool:
            if next(moments):
                JournalWriter(run.folder, 1, [], 1).close()
            return False

    wait_for_rows(run.folder, Watch(), 0.0)  # type: ignore[arg-type]
    assert list(moments) == []


def test_a_run_that_does_not_begin_is_told_of_nevertheless(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watch:
        def wait(self, seconds: float) -> bool:
            return False

    monkeypatch.setattr(shipper_module, "MOST_WAITED_S", 0.05)
    wait_for_rows(run.folder, Watch(), 0.0)  # type: ignore[arg-type]


def test_nothing_to_start_is_no_reason_to_fail(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    shipper = ShipperProcess(run.folder, uri="sqlite:///x.db", experiment="e")
    assert shipper.pid is None
    assert shipper.finish() is None


def test_the_uri_is_not_on_the_command_line(
    run: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    shipper = start("http://user:secret@127.0.0.1:1", 0.5)
    # Linux shows no arguments for the first instants of a program.
    wait_until(Path(f"/proc/{shipper.pid}/cmdline").read_bytes)
    command = Path(f"/proc/{shipper.pid}/cmdline").read_bytes()
    assert b"secret" not in command
    assert Folder(run.folder.url).url.encode() in command
    shipper.finish()
    assert b"secret" not in (run.path / "logs" / "shipper.log").read_bytes()
