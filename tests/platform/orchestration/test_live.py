"""The record of a run under way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainwright.errors import LeaseLost, RunError
from trainwright.orchestration.live import LiveRecord, true_ending
from trainwright.runs import RunRecord
from trainwright.storage import Folder


def _wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_the_newest_values_are_saved_now_and_then(tmp_path: Path) -> None:
    folder, shown = Folder(str(tmp_path)), list[Any]()
    with LiveRecord(RunRecord(name="a-1"), folder, shown.append, interval_s=0.02) as live:
        live({"step": 1, "loss": 2.0})
        live({"workers": 3})
        live({"step": 2, "loss": 1.5, "metrics": {"validation/loss": 1.6}})
        live({"remark": "worker 1 was lost"})
        _wait_for(lambda: RunRecord.load(folder) is not None)
        saved = RunRecord.load(folder)
        assert saved is not None
        assert (saved.steps, saved.workers) == (2, 3)
        assert saved.metrics == {"train/loss": 1.5, "validation/loss": 1.6}
        # The driver lives, and says so, also while nothing comes in.
        _wait_for(lambda: RunRecord.load(folder).alive > saved.alive)
    assert [sorted(values) for values in shown] == [
        ["loss", "step"],
        ["workers"],
        ["loss", "metrics", "step"],
        ["remark"],
    ]


def test_nothing_is_saved_once_it_is_over(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with LiveRecord(RunRecord(name="a-1"), folder, print, interval_s=0.01):
        _wait_for(lambda: RunRecord.load(folder) is not None)
    (tmp_path / "run.json").unlink()
    time.sleep(0.1)
    assert RunRecord.load(folder) is None


def test_a_store_that_fails_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    folder, shown = Folder(str(tmp_path / "file")), list[Any]()
    with (
        caplog.at_level(logging.WARNING),
        LiveRecord(RunRecord(name="a"), folder, shown.append, interval_s=0.01) as live,
    ):
        live({"step": 5})
        _wait_for(lambda: "run.json cannot be written for now" in caplog.text)
    assert shown == [{"step": 5}]


def _taken_over(folder: Folder) -> tuple[RunRecord, RunRecord]:
    mine = RunRecord(name="a-1")
    mine.claim()
    mine.save(folder)
    other = RunRecord(name="a-1")
    other.claim()
    other.driver = {"host": "another", "pid": 7, "born": 1.0}
    return mine, other


def test_a_driver_that_was_replaced_stops_and_leaves_the_record_alone(tmp_path: Path) -> None:
    folder, shown, asked = Folder(str(tmp_path)), list[Any](), list[str]()
    mine, other = _taken_over(folder)
    with LiveRecord(mine, folder, shown.append, interval_s=0.01) as live:
        live.when_lost(lambda: asked.append("stop"))
        live.check()
        other.save(folder)
        _wait_for(lambda: bool(asked))
        with pytest.raises(LeaseLost, match=r"a-1 was taken over by process 7 on another"):
            live.check()
    assert shown[0]["remark"].endswith("; stopping")
    with pytest.raises(LeaseLost), true_ending(mine, folder):
        pass
    with pytest.raises(ValueError, match="something else"), true_ending(mine, folder):
        raise ValueError("something else")
    saved = RunRecord.load(folder)
    assert saved is not None
    assert (saved.driver, saved.status) == (other.driver, "running")


def test_a_record_that_cannot_be_saved_at_the_end_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    folder = Folder(str(tmp_path / "file"))
    ended = pytest.raises(RunError, match=r"run\.json cannot be written")
    with ended, true_ending(RunRecord(name="a"), folder):
        pass
    with pytest.raises(ValueError, match="the cause"), true_ending(RunRecord(name="a"), folder):
        raise ValueError("the cause")


def test_remarks_of_workers_are_passed_on_once(tmp_path: Path) -> None:
    shown = list[Any]()
    live = LiveRecord(RunRecord(name="a"), Folder(str(tmp_path)), shown.append)
    for remarks in (["one"], ["one"], ["one", "two"]):
        live({"step": 1, "remarks": remarks})
    assert [s["remark"] for s in shown if "remark" in s] == ["one", "two"]
    assert all("remarks" not in s for s in shown)
