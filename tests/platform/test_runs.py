"""Runs as they lie in storage."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.errors import InputError
from trainwright.runs import RunRecord, find_run, list_runs, run_folder
from trainwright.storage import Folder


def _run(storage: Folder, name: str, **values: object) -> RunRecord:
    record = RunRecord(name=name, **values)  # type: ignore[arg-type]
    record.save(storage / name)
    return record


def test_a_record_comes_back_and_skips_what_it_does_not_know(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path)) / "run"
    record = RunRecord("run", metrics={"validation/loss": 0.5})
    record.claim()
    record.save(folder)
    assert RunRecord.load(folder) == record
    folder.write_json("run.json", {"name": "run", "from_the_future": 1})
    loaded = RunRecord.load(folder)
    assert loaded is not None
    assert loaded.name == "run"
    assert RunRecord.load(Folder(str(tmp_path)) / "none") is None


def test_a_dead_driver_is_told() -> None:
    record = RunRecord("run")
    record.claim()
    assert record.true_status == "running"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    record.driver["pid"] = child.pid
    assert record.true_status == "interrupted"
    record.driver["host"] = "another"
    assert record.true_status == "running"
    record.alive -= 3600
    assert record.true_status == "interrupted"
    record.status = "finished"
    assert record.true_status == "finished"


def test_a_later_process_with_the_number_of_a_dead_driver_is_not_taken_for_it() -> None:
    record = RunRecord("run")
    record.claim()
    record.driver["born"] -= 3600
    assert record.driver_is_known_dead
    assert record.true_status == "interrupted"
    del record.driver["born"]  # as versions before wrote it
    assert record.true_status == "running"


def test_generations(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path))
    assert run_folder(storage, "a-1").url.endswith("/a-1")
    assert run_folder(storage, "a-1", fresh=True).url.endswith("/a-1")
    _run(storage, "a-1")
    _run(storage, "a-12")
    assert run_folder(storage, "a-1").url.endswith("/a-1")
    assert run_folder(storage, "a-1", fresh=True).url.endswith("/a-1.2")
    _run(storage, "a-1.2")
    assert run_folder(storage, "a-1").url.endswith("/a-1.2")
    assert run_folder(storage, "a-1", fresh=True).url.endswith("/a-1.3")


def test_runs_are_listed_newest_first_and_found_by_a_beginning(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path))
    _run(storage, "digits-aa", started=1.0)
    _run(storage, "digits-bb", started=2.0)
    os.makedirs(tmp_path / "not-a-run")
    (tmp_path / "mlflow.db").touch()
    assert [record.name for _, record in list_runs(storage)] == ["digits-bb", "digits-aa"]
    assert find_run(storage, "digits-a")[1].name == "digits-aa"
    with pytest.raises(InputError, match="several runs begin so"):
        find_run(storage, "digits")
    with pytest.raises(InputError, match="nearest: digits-aa"):
        find_run(storage, "digit-aa")
