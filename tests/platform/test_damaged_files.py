"""Files of a run's folder that are not what was written: passed over or one error, no traceback."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainwright.errors import TrainwrightError
from trainwright.orchestration.hangs import explain_hangs, read_hangs, reporter
from trainwright.orchestration.kept_plugins import keep_plugin_files, kept_plugin_files
from trainwright.orchestration.sole import sole_driver
from trainwright.overview import overview, unsent_remark
from trainwright.runs import RunRecord, list_runs
from trainwright.storage import Folder
from trainwright.tracking import (
    JournalWriter,
    continue_lineage,
    newest_lineage,
    next_attempt,
    read_all,
    read_lineage,
    read_state,
)
from trainwright.tracking.family import children_of
from trainwright.tracking.settings import settings_of
from trainwright.tracking.state import TrackingState
from trainwright.training.watchdog import Hang

WRONG = [None, True, -1, 3, 2**70, 1e300, "", "../../x", [], [[1]], {}, {"a": {}}, "é" * 9]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A run's folder with all the records that are read again."""
    folder = Folder(str(tmp_path_factory.mktemp("runs") / "a-1"))
    record = RunRecord("a-1", metrics={"loss": 0.5}, mlflow={"uri": "sqlite:///x"})
    record.claim()
    record.status = "failed"
    record.save(folder)
    folder.write_json("resolved.json", {"name": "a", "tracking": {"enabled": True}, "training": {}})
    folder.write_json("children.json", ["b-1"])
    TrackingState(uri="sqlite:///x", experiment="e").write(folder)
    keep_plugin_files(folder, {"mine.py": b"x = 1\n"})
    for rank in range(2):
        reporter(folder)(Hang(rank, 3.0, "x.py:1 in f", rank == 0, "stack"))
    for attempt, lineage in ((1, []), (2, [[1, 3]])):
        with JournalWriter(folder, attempt, lineage, 1) as journal:
            for step in range(1, 5):
                journal.metrics(step, {"loss": 1.0 / step})
                journal.samples(step, [1, 2, 3])
            journal.event("something", 2)
            journal.histogram(3, "h", 0.0, 1.0, [1, 2])
    return folder


def look(folder: Folder) -> None:
    """Everything that commands read of a run."""
    storage = Folder(folder.url.rpartition("/")[0])
    overview(storage)
    for _, record in list_runs(storage):
        unsent_remark(folder, record)
    with sole_driver(folder, sleep=lambda seconds: None):
        pass
    settings_of(folder)
    read_state(folder)
    children_of(folder)
    kept_plugin_files(folder)
    explain_hangs(read_hangs(folder))
    newest_lineage(folder)
    continue_lineage(folder, 1, 3)
    assert next_attempt(folder) == 3
    assert len(list(read_all(folder))) >= len(list(read_lineage(folder)))


FILES = [
    "run.json",
    "resolved.json",
    "children.json",
    "tracking.json",
    "plugins/index.json",
    "logs/hung-worker-0.json",
    "journal/attempt-0001.jsonl",
    "journal/attempt-0002.jsonl",
]


@st.composite
def changes(draw: Any) -> tuple[str, Callable[[bytes], bytes]]:
    """A file, and what becomes of its bytes."""
    name = draw(st.sampled_from(FILES))
    kind = draw(st.sampled_from(["flip", "cut", "insert", "value", "lose"]))
    place, far, bit = (draw(st.integers(0, 1 << 16)) for _ in range(3))
    few = draw(st.binary(min_size=1, max_size=4) | st.sampled_from([b"[" * 9999, b"9" * 5000]))
    wrong = draw(st.sampled_from(WRONG))

    def value(line: bytes) -> bytes:
        try:
            body = json.loads(line)
        except ValueError:
            return line
        if isinstance(body, dict) and body:
            key = sorted(body)[place % len(body)]
            inner = body[key]
            if isinstance(inner, dict) and inner and far % 2:
                inner[sorted(inner)[far % len(inner)]] = wrong
            else:
                body[key] = wrong
        elif isinstance(body, list):
            body.append(wrong)
        return json.dumps(body).encode()

    def change(raw: bytes) -> bytes:
        at, to = sorted((place % len(raw), far % len(raw)))
        if kind == "value" and not name.endswith("l"):
            return value(raw)
        if kind == "value":
            lines = raw.splitlines()
            lines[bit % len(lines)] = value(lines[bit % len(lines)])
            return b"\n".join([*lines, b""])
        return {
            "flip": raw[:at] + bytes([raw[at] ^ 1 << bit % 8]) + raw[at + 1 :],
            "cut": raw[:at] + raw[to:],
            "insert": raw[:at] + few + raw[at:],
            "lose": b"",
        }[kind]

    return name, change


def check(run: Folder, name: str, change: Callable[[bytes], bytes]) -> None:
    path = Path(run.path) / name
    before = path.read_bytes()
    path.write_bytes(change(before))
    try:
        with contextlib.suppress(TrainwrightError):
            look(run)
    finally:
        path.write_bytes(before)


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=200, suppress_health_check=QUIET)
@given(changes())
def test_damaged_files_are_passed_over_or_one_error(run: Folder, changed: Any) -> None:
    check(run, *changed)


@pytest.mark.slow
@settings(max_examples=5000, suppress_health_check=QUIET)
@given(changes())
def test_thousands_of_damaged_files(run: Folder, changed: Any) -> None:
    check(run, *changed)


def test_a_damaged_record_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "run.json").write_text('{"name": "a", "steps": "many"}')
    with caplog.at_level(logging.WARNING):
        assert RunRecord.load(Folder(str(tmp_path))) is None
    assert f"{tmp_path}/run.json is damaged and passed over" in caplog.text
