"""One driver for a run, wherever the other one is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.errors import InputError
from trainwright.orchestration.sole import LEASE_S, sole_driver
from trainwright.runs import RunRecord
from trainwright.storage import Folder

HOLD = """
import sys
from trainwright.orchestration.sole import sole_driver
from trainwright.storage import Folder
with sole_driver(Folder(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def waits() -> list[float]:
    return []


def elsewhere(folder: Folder) -> RunRecord:
    record = RunRecord("a-1")
    record.claim()
    record.driver["host"] = "another"
    record.save(folder)
    return record


def test_two_processes_cannot_run_the_same_run(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match="is being run already"), sole_driver(folder):
        pass
    other.kill()
    other.wait()
    with sole_driver(folder):
        pass


def test_a_driver_of_this_machine_that_died_is_replaced_at_once(
    tmp_path: Path, waits: list[float]
) -> None:
    folder = Folder(str(tmp_path))
    record = RunRecord("a-1")
    record.claim()
    record.driver["born"] -= 3600
    record.save(folder)
    with sole_driver(folder, waits.append):
        assert waits == []


def test_a_driver_elsewhere_that_writes_its_record_is_left_alone(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    record = elsewhere(folder)

    def lives(seconds: float) -> None:
        record.save(folder)

    with pytest.raises(InputError, match="on another"), sole_driver(folder, lives):
        pass


def test_a_silent_driver_elsewhere_is_replaced_after_a_while(
    tmp_path: Path, waits: list[float]
) -> None:
    folder = Folder(str(tmp_path))
    elsewhere(folder)
    with sole_driver(folder, waits.append):
        assert sum(waits) == LEASE_S


@pytest.mark.parametrize("end", ["finished", "failed", "interrupted"])
def test_a_driver_elsewhere_that_ends_meanwhile_is_followed(tmp_path: Path, end: str) -> None:
    folder = Folder(str(tmp_path))
    record = elsewhere(folder)

    def ends(seconds: float) -> None:
        record.status = end  # type: ignore[assignment]
        record.save(folder)

    with sole_driver(folder, ends):
        pass


def test_in_an_object_store_the_record_decides(waits: list[float]) -> None:
    folder = Folder("memory://sole/a-1")
    record = RunRecord("a-1")
    record.claim()
    record.save(folder)
    with pytest.raises(InputError, match="is being run already"), sole_driver(folder):
        pass
    elsewhere(folder)
    with sole_driver(folder, waits.append):
        assert waits
