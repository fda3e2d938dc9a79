"""The record of a run under way."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from trainwright.orchestration.live import SECONDS_BETWEEN_SAVES, LiveRecord
from trainwright.runs import RunRecord
from trainwright.storage import Folder


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_newest_values_are_saved_now_and_then(tmp_path: Path) -> None:
    folder, clock, shown = Folder(str(tmp_path)), Clock(), list[Any]()
    record = RunRecord(name="a-1")
    live = LiveRecord(record, folder, shown.append, clock)
    live({"step": 1, "loss": 2.0})
    assert RunRecord.load(folder) is None
    clock.now += SECONDS_BETWEEN_SAVES
    live({"step": 2, "loss": 1.5, "metrics": {"validation/loss": 1.6}})
    live({"remark": "worker 1 was lost"})
    saved = RunRecord.load(folder)
    assert saved is not None
    assert saved.steps == 2
    assert saved.metrics == {"train/loss": 1.5, "validation/loss": 1.6}
    assert [sorted(values) for values in shown] == [
        ["loss", "step"],
        ["loss", "metrics", "step"],
        ["remark"],
    ]


def test_a_store_that_fails_does_not_stop_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    clock, shown = Clock(), list[Any]()
    live = LiveRecord(RunRecord(name="a"), Folder(str(tmp_path / "file")), shown.append, clock)
    clock.now += SECONDS_BETWEEN_SAVES
    with caplog.at_level(logging.WARNING):
        live({"step": 5})
    assert shown == [{"step": 5}]
    assert "run.json cannot be written for now" in caplog.text
