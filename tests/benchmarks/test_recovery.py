"""The recovery benchmark's stopwatch, on a made-up run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from launch.measure import WORKER_STAGES
from launch.stamps import stamp
from recovery import measure
from recovery.measure import Killer


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until it is set."""
    clock = [1000.0]
    monkeypatch.setattr(measure.time, "time", lambda: clock[0])
    return clock


def test_one_kill_from_its_moment_to_the_first_update(
    now: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[int] = []
    monkeypatch.setattr(measure.signal, "raise_signal", stopped.append)
    kills: list[float] = []
    file = tmp_path / "stamps"
    file.touch()
    killer = Killer(file, 1, lambda: kills.append(now[0]))

    killer({"step": 1})
    assert kills == [], "there was no update yet"
    stamp(str(file), "update", 1000.0)
    now[0] = 1001.0
    killer({"step": 2})
    assert kills == [], "it has not trained long enough"
    now[0] = 1010.0
    killer({"step": 3})
    assert kills == [1010.0]

    now[0] = 1011.5
    killer({"remark": "worker 1 was lost; restarting from the last checkpoint"})
    for stage, at in zip(WORKER_STAGES, (1013.0, 1016.0, 1017.0, 1017.25), strict=True):
        stamp(str(file), stage, at)
    assert not killer.rows
    killer({"step": 3})
    (row,) = killer.rows
    assert row == {
        "noticed": 1.5,
        "worker": 1.5,
        "data": 3.0,
        "engine": 1.0,
        "update": 0.25,
        "total": 7.25,
    }
    assert stopped == [signal.SIGINT]
