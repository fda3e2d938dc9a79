"""The record of a run under way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainwright.orchestration.live import LiveRecord
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
        live({"step": 2, "loss": 1.5, "metrics": {"validation/loss": 1.6}})
        live({"remark": "worker 1 was lost"})
        _wait_for(lambda: RunRecord.load(folder) is not None)
        saved = RunRecord.load(folder)
        assert saved is not None
        assert saved.steps == 2
        assert saved.metrics == {"train/loss": 1.5, "validation/loss": 1.6}
        # The driver lives, and says so, also while nothing comes in.
        _wait_for(lambda: RunRecord.load(folder).alive > saved.alive)
    assert [sorted(values) for values in shown] == [
        ["loss", "step"],
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
