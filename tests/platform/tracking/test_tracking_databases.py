"""Databases and journals that several processes, runs and machines share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from journals import write_steps

from trainwright.storage import Folder
from trainwright.tracking import (
    sync,
    sync_all,
)
from trainwright.tracking.lock import exclusive, lock_path


@pytest.mark.slow
def test_processes_that_meet_a_new_database_do_not_break_it(tmp_path: Path) -> None:
    code = (
        "import sys; from trainwright.tracking.target import MlflowTarget;"
        "MlflowTarget(sys.argv[1]).experiment(sys.argv[2])"
    )
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, uri, f"experiment {number}"])
        for number in range(3)
    ]
    assert [process.wait(120) for process in processes] == [0, 0, 0]


@pytest.mark.slow
def test_a_process_killed_while_it_sets_up_a_database_leaves_none(tmp_path: Path) -> None:
    code = (
        "import sys; from trainwright.tracking.target import MlflowTarget;"
        "MlflowTarget(sys.argv[1]).experiment('e')"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/mlflow.db"]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while not (tmp_path / ".mlflow.db.new").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (tmp_path / "mlflow.db").exists()
    assert subprocess.run(command, check=False).returncode == 0
    assert (tmp_path / "mlflow.db").exists()


def test_one_process_at_a_time(run: Any, database: Any) -> None:
    write_steps(run.folder, 1, range(1, 6))
    with exclusive(lock_path(run.folder), lambda: True) as held:
        assert held
        report = sync(run.folder, uri=database.uri)
    assert "at the moment" in str(report.error)
    assert report.left == 10
    assert database.runs() == []


def test_a_password_in_the_uri_is_kept_out_of_the_run_folder(run: Any) -> None:
    write_steps(run.folder, 1, range(1, 3))
    sync(run.folder, uri="http://user:secret@127.0.0.1:1", timeout_s=0.5)
    assert b"secret" not in run.folder.read_bytes("tracking.json")
    assert "give the tracking URI again" in str(sync(run.folder).error)


def test_all_runs_of_a_storage_go_to_its_own_database(
    run: Any, template_database: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = Folder(str(run.path.parent))
    (run.path.parent / "mlflow.db").write_bytes(template_database.read_bytes())
    monkeypatch.chdir(tmp_path)
    write_steps(run.folder, 1, range(1, 3))
    other = storage / "second"
    write_steps(other, 1, range(1, 4))
    seen: dict[str, int] = {}
    reports = sync_all(storage, progress=seen.__setitem__)
    assert {name: report.sent for name, report in reports.items()} == {"digits-1": 4, "second": 6}
    assert seen == {"digits-1": 4, "second": 6}
    assert not (tmp_path / "mlruns").exists(), "nothing is left in the working directory"


def test_a_journal_on_an_object_store(database: Any, wait_until: Callable[..., None]) -> None:
    folder = Folder("memory://tracked-remotely/run-1")
    folder.write_json("resolved.json", {"name": "remote", "kind": "train"})
    write_steps(folder, 1, range(1, 31))
    assert sync(folder, uri=database.uri).sent == 60
    write_steps(folder, 2, range(21, 41), past=(1, 20))
    assert sync(folder).error is None
    losses = [value for value in database.values() if value[0] == "train/loss"]
    assert losses == [("train/loss", step, 1 / step) for step in range(1, 41)]
    assert "plots/loss.png" in {f"plots/{name}" for name in folder.names("plots")}
