"""Logs of workers: stacks of crashes, copies in an object store, the end of them in a message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.orchestration import worker_logs
from trainwright.orchestration.vitals import Memory, Vitals
from trainwright.orchestration.worker_logs import (
    EXCERPT_LINES,
    EXCERPT_WIDTH,
    excerpt,
    log_name,
    logging_to,
)
from trainwright.storage import Folder

CRASH = """
import ctypes, os, sys
from trainwright.orchestration.worker_logs import logging_to
from trainwright.storage import Folder

def in_native_code():
    ctypes.string_at(0)

with logging_to(Folder(sys.argv[1]), 3):
    print("before", flush=True)
    in_native_code()
"""


def test_a_crash_leaves_its_stack_and_the_excerpt_has_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path)], capture_output=True)
    assert done.returncode == -11
    with (tmp_path / log_name(3)).open("a") as log:
        log.writelines(f"Extension modules: {number}\n" for number in range(100))
    told = excerpt(Folder(str(tmp_path)), 3, None).splitlines()
    assert told[0] == f"where it crashed, from {tmp_path}/logs/worker-3.log:"
    assert told[1] == "  | Fatal Python error: Segmentation fault"
    assert any(line.endswith("in in_native_code") for line in told)
    assert len(told) == 1 + EXCERPT_LINES


def test_the_end_of_a_log_is_enough(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    assert excerpt(folder, 0, None) == ""
    folder.write_bytes(log_name(0), "\n".join(map(str, range(100))).encode() + b"x" * 1000)
    lines = excerpt(folder, 0, None).splitlines()[1:]
    assert lines[:-1] == [f"  | {number}" for number in range(100 - EXCERPT_LINES, 99)]
    assert lines[-1] == f"  | 99{'x' * (EXCERPT_WIDTH - 2)}"


@pytest.fixture
def store() -> Folder:
    folder = Folder("memory://logs-of-workers")
    yield folder
    folder.remove("")


def _vitals(log: Path) -> Vitals:
    import socket

    return Vitals("node", socket.gethostname(), 1, "group", str(log), Memory(1, 1, 2))


def test_an_object_store_gets_copies_and_the_log_goes_on_in_the_next_attempt(
    store: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_logs, "SECONDS_BETWEEN_COPIES", 0.01)
    with logging_to(store, 0) as path:
        subprocess.run(["echo", "first"], check=True)
        while not store.exists(log_name(0)):
            pass
        assert "first" in excerpt(store, 0, _vitals(path))
        assert "first" in excerpt(store, 0, None), "the machine is gone, the copy is not"
    assert not path.exists()
    with logging_to(store, 0):
        subprocess.run(["echo", "second"], check=True)
    assert store.read_bytes(log_name(0)) == b"first\nsecond\n"


def test_of_a_long_log_the_end_is_kept(store: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_logs, "MOST_COPIED", 10)
    with logging_to(store, 0):
        subprocess.run(["echo", "0123456789abcde"], check=True)
    assert store.read_bytes(log_name(0)) == b"6789abcde\n"


def test_a_store_that_refuses_leaves_the_log_here(
    store: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Folder, name: str, content: bytes) -> None:
        raise PermissionError("read only")

    monkeypatch.setattr(Folder, "write_bytes", refuse)
    with logging_to(store, 0) as path:
        subprocess.run(["echo", "kept"], check=True)
    assert path.read_text() == "kept\n"
    path.unlink()
    path.parent.rmdir()
