"""The shipper process against a real MLflow server that is absent, dies, dawdles or goes deaf."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from shipped_runs import Wait, expected, losses, status, train

from trainwright.tracking import (
    JournalWriter,
    ShipperProcess,
    continue_lineage,
    read_state,
    sync,
)


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
        for step in range(1, 2001):
            journal.metrics(step, {"train/loss": 1 / step})
    assert (behind := shipper.state()) is None or behind.sent < 2000
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
    state = shipper.finish()
    assert state is not None
    assert (state.phase, state.sent, state.left) == ("behind", 50, 50)
    assert state.error
    assert status(server.database, str(state.mlflow_run_id)) == "RUNNING"
    proxy.mode = "pass"
    report = sync(run.folder)
    assert (report.sent, report.left, report.error) == (50, 0, None)
    assert losses(server.database, str(state.mlflow_run_id)) == expected(range(1, 101))
    assert status(server.database, str(state.mlflow_run_id)) == "FAILED"


@pytest.mark.slow
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


@pytest.mark.slow
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
