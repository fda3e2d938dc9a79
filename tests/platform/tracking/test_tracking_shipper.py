"""The shipper process against a real MLflow server that is absent, dies, dawdles or goes deaf."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trainwright.storage import Folder
from trainwright.tracking import (
    JournalWriter,
    ShipperProcess,
    continue_lineage,
    read_all,
    read_state,
    sync,
)
from trainwright.tracking import process as process_module

Wait = Callable[..., None]


@pytest.fixture
def start(run: Any) -> Iterator[Callable[..., ShipperProcess]]:
    """Starts shippers of the run; whatever still runs at the end is killed."""
    started: list[ShipperProcess] = []

    def make(uri: str, drain_timeout_s: float = 30.0) -> ShipperProcess:
        (run.path / "logs").mkdir(exist_ok=True)
        shipper = ShipperProcess(
            run.folder,
            uri=uri,
            experiment="digits",
            drain_timeout_s=drain_timeout_s,
            log=run.path / "logs" / "shipper.log",
        )
        started.append(shipper)
        return shipper

    yield make
    for shipper in started:
        shipper._finishing.set()
        if shipper._process is not None:
            shipper._process.kill()
            shipper._process.wait()


def losses(database: Any, run_id: str) -> list[tuple[int, float]]:
    sql = "select step, value from metrics where run_uuid = ? and key = 'train/loss' order by step"
    return database.query(sql, run_id)


def expected(steps: range) -> list[tuple[int, float]]:
    return [(step, 1 / step) for step in steps]


def train(journal: JournalWriter, steps: range, pause_s: float = 0.0) -> None:
    for step in steps:
        journal.metrics(step, {"train/loss": 1 / step})
        time.sleep(pause_s)


def status(database: Any, run_id: str) -> str:
    return str(database.query("select status from runs where run_uuid = ?", run_id)[0][0])


def test_server_absent_at_first_then_gone_then_back(
    run: Any, server: Any, proxy: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    proxy.mode = "refuse"
    shipper = start(proxy.uri)
    with JournalWriter(run.folder, 1, [], 1, interval_s=0.05) as journal:
        train(journal, range(1, 301))
        wait_until(lambda: (state := shipper.state()) and state.phase == "waiting")
        assert "Connection refused" in str(shipper.state().error)  # type: ignore[union-attr]
        proxy.mode = "pass"
        wait_until(lambda: (state := shipper.state()) and state.sent == 300)
        for first in range(301, 901, 50):
            train(journal, range(first, first + 50), 0.001)
            if first == 501:
                proxy.mode = "refuse"
        wait_until(lambda: shipper.state().phase == "waiting")  # type: ignore[union-attr]
        assert shipper.state().sent < 900  # type: ignore[union-attr]
        proxy.mode = "pass"
    run.record("finished", finished=time.time())
    state = shipper.finish()
    assert state is not None
    assert (state.phase, state.left, state.error) == ("done", 0, None)
    assert losses(server.database, str(state.mlflow_run_id)) == expected(range(1, 901))
    assert status(server.database, str(state.mlflow_run_id)) == "FINISHED"
    artifacts = server.folder.joinpath("artifacts").rglob(f"{state.mlflow_run_id}/artifacts/**/*")
    assert {"job.yaml", "resolved.json", "loss.png"} <= {path.name for path in artifacts}


@pytest.mark.slow
def test_server_process_started_late_then_killed_then_restarted(
    run: Any, make_server: Callable[[], Any], start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    server = make_server()
    shipper = start(server.uri, 60.0)
    with JournalWriter(run.folder, 1, [], 1, interval_s=0.1) as journal:
        train(journal, range(1, 501))
        wait_until(lambda: (state := shipper.state()) and state.phase == "waiting")
        assert "Connection refused" in str(shipper.state().error)  # type: ignore[union-attr]
        server.start()
        wait_until(lambda: (state := shipper.state()) and state.sent == 500, 120)
        run_id = shipper.state().mlflow_run_id  # type: ignore[union-attr]
        assert losses(server.database, run_id) == expected(range(1, 501))
        for first in range(501, 1501, 50):
            train(journal, range(first, first + 50), 0.002)
            if first == 1001:
                server.kill()
        wait_until(lambda: shipper.state().phase == "waiting")  # type: ignore[union-attr]
        server.start()
        train(journal, range(1501, 1601))
    run.record("finished", finished=time.time())
    server.wait()
    state = shipper.finish()
    assert state is not None
    assert (state.phase, state.left, state.error) == ("done", 0, None)
    assert state.mlflow_run_id == run_id
    assert losses(server.database, run_id) == expected(range(1, 1601))
    assert status(server.database, run_id) == "FINISHED"


def test_a_server_that_goes_deaf_loses_and_doubles_nothing(
    run: Any, server: Any, proxy: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    """Requests are stored, answers are lost, and a rewind comes before the retry."""
    shipper = start(proxy.uri)
    with JournalWriter(run.folder, 1, [], 1, interval_s=0.05) as journal:
        train(journal, range(1, 101))
        wait_until(lambda: (state := shipper.state()) and state.sent == 100)
        run_id = shipper.state().mlflow_run_id  # type: ignore[union-attr]
        proxy.mode = "lose"
        train(journal, range(101, 201))
        wait_until(lambda: len(losses(server.database, run_id)) == 200)
        wait_until(lambda: proxy.num_lost >= 2)
    with JournalWriter(
        run.folder, 2, continue_lineage(run.folder, 1, 50), 1, interval_s=0.05
    ) as journal:
        train(journal, range(51, 301))
        assert journal.flush()
    proxy.mode = "pass"
    run.record("finished")
    state = shipper.finish()
    assert state is not None
    assert state.phase == "done"
    assert losses(server.database, run_id) == expected(range(1, 301))
    assert '"from_step": 50' in str(
        server.database.query(
            "select value from tags where key = 'trainwright.rewinds' and run_uuid = ?", run_id
        )
    )


def test_a_slow_server_costs_training_nothing(
    run: Any, server: Any, proxy: Any, start: Callable[..., ShipperProcess]
) -> None:
    proxy.mode, proxy.delay_s = "slow", 0.25
    shipper = start(proxy.uri, 40.0)
    with JournalWriter(run.folder, 1, [], 1) as journal:
        began = time.perf_counter()
        for step in range(1, 2001):
            journal.metrics(step, {"train/loss": 1 / step})
        seconds = time.perf_counter() - began
    assert seconds < 1.0
    run.record("finished")
    state = shipper.finish()
    assert state is not None
    assert state.phase == "done"
    assert losses(server.database, str(state.mlflow_run_id)) == expected(range(1, 2001))


def test_what_cannot_be_sent_in_time_is_left_for_sync(
    run: Any, server: Any, proxy: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    shipper = start(proxy.uri, 2.0)
    with JournalWriter(run.folder, 1, [], 1) as journal:
        train(journal, range(1, 51))
        wait_until(lambda: (state := shipper.state()) and state.sent == 50)
        proxy.mode = "refuse"
        train(journal, range(51, 101))
    run.record("failed", finished=time.time())
    began = time.monotonic()
    state = shipper.finish()
    assert time.monotonic() - began < 15
    assert state is not None
    assert (state.phase, state.sent, state.left) == ("behind", 50, 50)
    assert state.error
    assert status(server.database, str(state.mlflow_run_id)) == "RUNNING"
    proxy.mode = "pass"
    report = sync(run.folder)
    assert (report.sent, report.left, report.error) == (50, 0, None)
    assert losses(server.database, str(state.mlflow_run_id)) == expected(range(1, 101))
    assert status(server.database, str(state.mlflow_run_id)) == "FAILED"


def test_killed_at_random_moments_and_started_again(
    run: Any, database: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    chance = random.Random(7)
    attempt, step = 1, 0
    journal = JournalWriter(run.folder, 1, [], 1, interval_s=0.02)
    for _ in range(4):
        shipper = start(database.uri)
        wait_until(lambda: (state := read_state(run.folder)) and state.mlflow_run_id)
        pause_s = chance.uniform(0, 1.5)
        began = time.monotonic()
        while time.monotonic() - began < pause_s:
            step += 1
            journal.metrics(step, {"train/loss": 1 / step})
            time.sleep(0.001)
        assert shipper._process is not None
        shipper._finishing.set()
        os.kill(shipper._process.pid, signal.SIGKILL)
        shipper._process.wait()
        if chance.random() < 0.5 and step > 20:
            journal.close()
            step -= 20
            lineage = continue_lineage(run.folder, attempt, step)
            attempt += 1
            journal = JournalWriter(run.folder, attempt, lineage, 1, interval_s=0.02)
    journal.close()
    run.record("finished")
    state = start(database.uri).finish()
    assert state is not None
    assert state.phase == "done"
    assert len(database.runs()) == 1
    stored = losses(database, str(state.mlflow_run_id))
    assert attempt > 1
    assert len(stored) == len(set(stored)), "a value twice"
    assert stored[:step] == expected(range(1, step + 1))
    assert all(value == 1 / at for at, value in stored)


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
    wait_until(lambda: not Path(f"/proc/{shipper_pid}").exists(), 20)
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


def test_a_second_shipper_waits_for_the_first(
    run: Any, database: Any, start: Callable[..., ShipperProcess], wait_until: Wait
) -> None:
    first = start(database.uri)
    wait_until(lambda: (state := first.state()) and state.mlflow_run_id)
    second = start(database.uri)
    time.sleep(2)
    with JournalWriter(run.folder, 1, [], 1) as journal:
        train(journal, range(1, 11))
    run.record("finished")
    first.finish()
    second.finish()
    assert len(database.runs()) == 1
    assert database.runs()[0][2] == "FINISHED"
    assert losses(database, database.runs()[0][0]) == expected(range(1, 11))


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
    wait_until(lambda: (state := shipper.state()) and state.mlflow_run_id)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: shipper.pid != first, 30)
    with JournalWriter(run.folder, 1, [], 1) as journal:
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
    wait_until(lambda: (state := read_state(run.folder)) and state.status == "RUNNING")
    process.terminate()
    assert process.wait(30) == 0
    assert database.runs()[0][2] == "RUNNING"
    assert process.stdin is not None
    process.stdin.close()


def test_nothing_to_start_is_no_reason_to_fail(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    shipper = ShipperProcess(run.folder, uri="sqlite:///x.db", experiment="e")
    assert shipper.pid is None
    assert shipper.finish() is None


def test_the_uri_is_not_on_the_command_line(run: Any, start: Callable[..., ShipperProcess]) -> None:
    shipper = start("http://user:secret@127.0.0.1:1", 0.5)
    command = Path(f"/proc/{shipper.pid}/cmdline").read_bytes()
    assert b"secret" not in command
    assert Folder(run.folder.url).url.encode() in command
    shipper.finish()
    assert b"secret" not in (run.path / "logs" / "shipper.log").read_bytes()
