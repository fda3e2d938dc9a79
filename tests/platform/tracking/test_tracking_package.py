"""The package stays light, and its state file can be read or is treated as absent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trainwright.storage import Folder
from trainwright.tracking import TrackingState, read_state
from trainwright.tracking.covered import Ranges
from trainwright.tracking.lock import exclusive, lock_path


def test_importing_it_loads_no_heavy_library() -> None:
    code = (
        "import sys, trainwright.tracking, trainwright.tracking.shipper;"
        "heavy = {'mlflow', 'torch', 'ray', 'matplotlib', 'pandas', 'deepspeed'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_state_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path))
    state = TrackingState(uri="http://h", experiment="e", mlflow_run_id="abc", sent=3, error="x")
    state.covered["journal/attempt-0001.jsonl"] = Ranges([[0, 10], [20, 30]])
    state.artifacts["job.yaml"] = "12"
    state.write(folder)
    again = read_state(folder)
    assert again is not None
    assert again.to_json() == state.to_json()
    assert again.updated > 0


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": 2}',
        '{"format": 1, "covered": {}, "later": 1}',
        '{"format": 1, "covered": {}, "left": "some"}',
    ],
)
def test_a_damaged_state_counts_as_absent(tmp_path: Path, content: str) -> None:
    (tmp_path / "tracking.json").write_text(content)
    assert read_state(Folder(str(tmp_path))) is None


def test_the_lock_keeps_others_out_until_it_is_released(tmp_path: Path) -> None:
    path = lock_path(Folder(str(tmp_path / "run")))
    asked = []

    def give_up() -> bool:
        asked.append(1)
        return len(asked) > 2

    with exclusive(path, lambda: True) as first:
        assert first
        with exclusive(path, give_up) as second:
            assert not second
    assert len(asked) == 3
    with exclusive(path, lambda: True) as third:
        assert third


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    path = lock_path(Folder(str(tmp_path)))
    code = (
        "import sys, os, pathlib; from trainwright.tracking.lock import exclusive\n"
        "with exclusive(pathlib.Path(sys.argv[1]), lambda: True) as held:\n"
        "    os.kill(os.getpid(), 9 if held else 15)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -9
    with exclusive(path, lambda: True) as held:
        assert held


def test_remote_runs_lock_per_machine_and_run() -> None:
    one, two = (lock_path(Folder(f"memory://bucket/run-{name}")) for name in "ab")
    assert one != two
    assert one == lock_path(Folder("memory://bucket/run-a"))
    assert json.dumps(str(one))
