"""Waiting: what is told, when it ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trainwright.errors import Interrupted, RunError
from trainwright.orchestration import waiting
from trainwright.orchestration.waiting import wait_for_storage, wait_while
from trainwright.storage import Folder


class Watcher:
    def __init__(self, stops: bool = False) -> None:
        self.stops = stops
        self.told: list[str] = []

    def __call__(self, progress: Mapping[str, Any]) -> bool:
        self.told.extend([progress["remark"]] if "remark" in progress else [])
        return self.stops


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SECONDS_UNTOLD", -1.0)


def test_it_is_told_once_and_that_it_is_over() -> None:
    lacking = iter(["a CPU", "a CPU", ""])
    watcher = Watcher()
    wait_while(lambda: next(lacking), None, watcher)
    assert watcher.told == ["waiting for a CPU", "the wait is over"]


def test_nothing_is_told_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = Watcher()
    wait_while(lambda: "", 0.0, watcher)
    monkeypatch.setattr(waiting, "SECONDS_UNTOLD", 60.0)
    lacking = iter(["a CPU", ""])
    wait_while(lambda: next(lacking), None, watcher)
    assert watcher.told == []


def test_a_limit_and_a_stop_end_it() -> None:
    with pytest.raises(RunError, match=r"waited 0 s \(cluster.room_timeout_s\) in vain for a CPU"):
        wait_while(lambda: "a CPU", 0.0, Watcher())
    with pytest.raises(Interrupted, match="stopped while waiting for a CPU"):
        wait_while(lambda: "a CPU", None, Watcher(stops=True))


def test_a_storage_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([ConnectionError("refused"), []])

    def names(self: Folder, name: str = "") -> list[str]:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Folder, "names", names)
    monkeypatch.setattr(waiting.time, "sleep", lambda seconds: None)
    watcher = Watcher()
    wait_for_storage(Folder("memory://away"), None, watcher)
    assert watcher.told[0].startswith("waiting for memory://away: ")
    assert "refused" in watcher.told[0]
    assert watcher.told[1] == "the wait is over"
