"""The writer never blocks or breaks training, loses nothing while the store fails, mends tears."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest
import torch

from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, leave_note, read_all, read_lineage
from trainwright.tracking import sinks as sinks_module
from trainwright.tracking.files import journal_files
from trainwright.tracking.sinks import LocalSink, SegmentSink


def steps(folder: Folder) -> list[int]:
    return [row["step"] for row in read_lineage(folder) if row["kind"] == "metrics"]


def test_header_comes_first_and_rows_follow_in_order(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 2, [[1, 200]], 4) as journal:
        journal.metrics(201, {"train/loss": 0.5})
        journal.samples(201, torch.tensor([3, 1, 2]))
        journal.event("began again", 201)
        journal.metrics(202, {"train/loss": float("nan")})
    rows = list(read_all(folder))
    assert [row["kind"] for row in rows] == ["attempt", "metrics", "samples", "event", "metrics"]
    assert rows[0]["lineage"] == [[1, 200]]
    assert rows[0]["world_size"] == 4
    assert rows[2] == {"kind": "samples", "attempt": 2, "step": 201, "ids": [3, 1, 2]}
    assert (tmp_path / "journal" / "attempt-0002.jsonl").exists()


def test_rows_reach_the_file_without_a_flush(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    journal = JournalWriter(folder, 1, [], 1, interval_s=0.1)
    journal.metrics(1, {"a": 1.0})
    deadline = time.monotonic() + 60
    while steps(folder) != [1] and time.monotonic() < deadline:
        time.sleep(0.02)
    assert steps(folder) == [1]
    journal.close()


def test_flush_means_on_disk(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    journal = JournalWriter(folder, 1, [], 1, interval_s=60)
    for step in range(1, 501):
        journal.metrics(step, {"a": step / 7})
    assert journal.flush(60)
    assert steps(folder) == list(range(1, 501))
    journal.close()
    assert journal.flush(0.1) is False


def test_a_call_waits_for_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering = threading.Event()
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        assert answering.wait(60)
        return real(descriptor, data)

    monkeypatch.setattr(sinks_module.os, "write", write)
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1, interval_s=0.01) as journal:
        for step in range(1, 20_001):
            journal.metrics(step, {"train/loss": 0.5})
        assert steps(folder) == []
        answering.set()
    assert steps(folder) == list(range(1, 20_001))


def test_a_killed_process_loses_at_most_its_last_moments(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\n"
        "from trainwright.storage import Folder\n"
        "from trainwright.tracking import JournalWriter\n"
        "journal = JournalWriter(Folder(sys.argv[1]), 1, [], 1)\n"
        "for step in range(1, 101): journal.metrics(step, {'a': 1.0})\n"
        "journal.flush()\n"
        "journal.metrics(101, {'a': 1.0})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == -9
    assert steps(Folder(str(tmp_path))) in (list(range(1, 101)), list(range(1, 102)))


@pytest.mark.parametrize("torn", [b'{"kind":"metr', b"\0\0\0", b"x" * 200_000])
def test_a_torn_line_is_skipped_by_readers_and_cut_off_by_the_owner(
    tmp_path: Path, torn: bytes
) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.metrics(1, {"a": 1.0})
    path = tmp_path / "journal" / "attempt-0001.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert steps(folder) == [1]
    assert path.read_bytes() == whole + torn, "a reader must not touch the file"
    with JournalWriter(folder, 2, [[1, 1]], 1) as other:
        other.metrics(2, {"a": 1.0})
    assert path.read_bytes() == whole + torn, "another attempt's writer must not either"
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.metrics(2, {"a": 2.0})
    assert path.read_bytes().startswith(whole)
    kinds = [row["kind"] for row in read_all(folder) if row["attempt"] == 1]
    assert kinds == ["attempt", "metrics", "metrics"], "the header is written once"


class Flaky:
    """Fails for a while, and writes half of what it was given on the first failure."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.failing = True
        self.num_calls = 0
        real = os.write

        def write(descriptor: int, data: bytes) -> int:
            self.num_calls += 1
            if not self.failing:
                return real(descriptor, data)
            if self.num_calls == 1:
                return real(descriptor, data[: len(data) // 2])
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(sinks_module.os, "write", write)


def test_a_failing_disk_is_retried_and_nothing_is_lost_or_doubled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(monkeypatch)
    folder = Folder(str(tmp_path))
    journal = JournalWriter(folder, 1, [], 1, interval_s=0.05)
    for step in range(1, 1001):
        journal.metrics(step, {"a": 1.0})
    assert journal.flush(0.3) is False
    assert "No space left" in str(journal.error)
    flaky.failing = False
    assert journal.flush(60) is True
    assert journal.error is None
    assert journal.close()
    assert steps(folder) == list(range(1, 1001))


def test_rows_beyond_the_bound_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = Flaky(monkeypatch)
    folder = Folder(str(tmp_path))
    journal = JournalWriter(folder, 1, [], 1, interval_s=0.05, max_pending_rows=100)
    journal.metrics(0, {"a": 1.0})
    assert journal.flush(0.2) is False
    for step in range(1, 151):
        journal.metrics(step, {"a": 1.0})
    flaky.failing = False
    assert journal.close()
    assert steps(folder) == list(range(51, 151))
    messages = [row["message"] for row in read_all(folder) if row["kind"] == "event"]
    assert messages == ["51 rows were dropped while the store failed"]


def test_a_value_that_cannot_be_written_becomes_an_event(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.metrics(1, {"a": object()})  # type: ignore[dict-item]
        journal.metrics(2, {"a": 1.0})
    assert steps(folder) == [2]
    assert any("could not be written" in str(row.get("message")) for row in read_all(folder))


def test_closing_gives_up_on_a_dead_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Flaky(monkeypatch)
    journal = JournalWriter(Folder(str(tmp_path)), 1, [], 1, interval_s=0.05)
    journal.metrics(1, {"a": 1.0})
    assert journal.close(timeout_s=0.5) is False


def test_object_stores_get_few_growing_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks_module, "SEGMENT_BYTES", 2000)
    folder = Folder("memory://journal-segments/run")
    with JournalWriter(folder, 1, [], 1, interval_s=0.01) as journal:
        for step in range(1, 201):
            journal.metrics(step, {"a": step / 3})
            if step % 5 == 0:
                assert journal.flush(60)
    names = folder.names("journal")
    assert names[0] == "attempt-0001-000001.jsonl"
    assert 5 <= len(names) <= 10
    assert steps(folder) == list(range(1, 201))
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.metrics(201, {"a": 1.0})
    assert len(folder.names("journal")) == len(names) + 1, "a reopened attempt begins a segment"
    assert [row["kind"] for row in read_all(folder)].count("attempt") == 1
    assert steps(folder) == list(range(1, 202))


def test_a_failing_object_store_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("memory://journal-flaky/run")
    fs = fsspec.filesystem("memory")
    real, fails = type(fs).pipe_file, [3]

    def pipe_file(self: object, path: str, value: bytes, **options: object) -> None:
        if fails[0] > 0 and "journal-flaky" in path:
            fails[0] -= 1
            raise ConnectionError("503 slow down")
        real(self, path, value, **options)

    monkeypatch.setattr(type(fs), "pipe_file", pipe_file)
    with JournalWriter(folder, 1, [], 1, interval_s=0.02) as journal:
        for step in range(1, 21):
            journal.metrics(step, {"a": 1.0})
    assert steps(folder) == list(range(1, 21))


def test_notes_of_other_processes_have_files_of_their_own(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    with JournalWriter(folder, 1, [], 1) as journal:
        journal.metrics(1, {"a": 1.0})
    leave_note(folder, 1, "the driver died")
    assert [row["message"] for row in read_all(folder) if row["kind"] == "event"] == [
        "the driver died"
    ]
    assert [file.attempt for file in journal_files(folder)] == [1]


def test_local_sink_appends_exactly(tmp_path: Path) -> None:
    sink = LocalSink(Folder(str(tmp_path)), 1)
    sink.append(b"one\n")
    sink.sync()
    sink.close()
    sink.append(b"two\n")
    sink.close()
    assert (tmp_path / "journal/attempt-0001.jsonl").read_bytes() == b"one\ntwo\n"
    assert LocalSink(Folder(str(tmp_path)), 1).size == 8


def test_segment_sink_keeps_its_content_when_a_put_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder("memory://segment-sink/run")
    sink = SegmentSink(folder, 3)
    sink.append(b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write_bytes", _refuse)
        with pytest.raises(ConnectionError):
            sink.append(b"two\n")
    sink.append(b"two\n")
    assert folder.read_bytes("journal/attempt-0003-000001.jsonl") == b"one\ntwo\n"


def _refuse(self: Folder, name: str, content: bytes) -> None:
    raise ConnectionError("no route")
