"""What the records of runs tell about tracking, storage and the commands to use."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import InputError
from trainwright.overview import (
    open_storage,
    overview,
    shown,
    storage_option,
    sync_command,
    tracked,
    unsent_remark,
)
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking.state import TrackingState


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    place = Folder(str(tmp_path / "runs" / "a-1"))
    place.write_json("resolved.json", {"tracking": {"enabled": True}})
    return place


def record(**values: Any) -> RunRecord:
    return RunRecord(name="a-1", **{"status": "finished", **values})


def state(folder: Folder, **values: Any) -> None:
    TrackingState(uri="sqlite:///x.db", experiment="a", **values).write(folder)


def test_no_state_means_that_nothing_was_sent(folder: Folder) -> None:
    assert tracked(folder, record()).sent == "none"


def test_a_run_that_has_just_begun_is_sending(folder: Folder) -> None:
    living = record(status="running", driver={"host": "elsewhere", "pid": 1}, alive=time.time())
    assert tracked(folder, living).sent == "sending"


def test_tracking_that_is_off_is_told_so(folder: Folder) -> None:
    folder.write_json("resolved.json", {"tracking": {"enabled": False}})
    assert tracked(folder, record()).sent == "off"
    assert unsent_remark(folder, record()) is None


@pytest.mark.parametrize(
    ("phase", "sent", "status", "expected"),
    [
        ("done", 10, "finished", "all"),
        ("behind", 10, "finished", "part"),
        ("behind", 0, "finished", "none"),
        ("sending", 10, "interrupted", "part"),
        ("waiting", 10, "running", "sending"),
        ("behind", 10, "running", "part"),
    ],
)
def test_states(folder: Folder, phase: Any, sent: int, status: Any, expected: str) -> None:
    state(folder, phase=phase, sent=sent)
    driver = {"host": "elsewhere", "pid": 1}
    found = tracked(folder, record(status=status, driver=driver, alive=time.time()))
    assert found.sent == expected


def test_the_remark_names_rows_reason_and_command(folder: Folder) -> None:
    state(folder, phase="behind", left=1234, error="connection refused\nmore")
    assert unsent_remark(folder, record()) == (
        "MLflow lacks 1,234 rows (connection refused); nothing is lost: "
        "`trainwright sync a-1` sends them"
    )


def test_commands_name_a_storage_that_is_not_the_default(tmp_path: Path, folder: Folder) -> None:
    assert storage_option(open_storage("runs")) == ""
    assert storage_option(open_storage("other/place")) == " --storage other/place"
    elsewhere = Folder("s3://bucket/runs/a-1")
    assert sync_command(elsewhere, "a-1") == "trainwright sync a-1 --storage s3://bucket/runs"


def test_paths_are_shown_from_the_working_directory(folder: Folder) -> None:
    assert shown(folder.url) == "runs/a-1"
    assert shown("/elsewhere/a") == "/elsewhere/a"
    assert shown("s3://bucket/a") == "s3://bucket/a"


def test_a_storage_that_nothing_can_serve_is_refused() -> None:
    with pytest.raises(InputError) as caught:
        open_storage("nothing://x", "storage")
    (problem,) = caught.value.problems
    assert (problem.path, problem.got) == ("storage", "nothing://x")


def test_overview_is_newest_first_and_shortens_errors(folder: Folder, tmp_path: Path) -> None:
    record(started=1.0).save(folder)
    later = RunRecord(name="b-2", status="failed", started=2.0, error="it broke\nTraceback")
    later.save(Folder(str(tmp_path / "runs" / "b-2")))
    found = overview(open_storage("runs"))
    assert [entry.run for entry in found] == ["b-2", "a-1"]
    assert found[0].error == "it broke"
    assert found[1].to_json()["tracking"]["sent"] == "none"


def test_overview_tells_how_many_workers_there_are_of_a_range(
    folder: Folder, tmp_path: Path
) -> None:
    record(workers=2).save(folder)
    for workers, told in (([1, 4], [1, 4]), ([2, 2], None), (2, None)):
        folder.write_json("resolved.json", {"cluster": {"workers": workers}})
        [line] = overview(open_storage("runs"))
        assert (line.workers, line.range_of_workers) == (2, told)
