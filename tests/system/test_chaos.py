"""``make chaos`` with a few faults, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_run_under_fire_is_the_run_without(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--faults", "6", "--seed", "0"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(JOBS)},
        capture_output=True,
        text=True,
        timeout=2300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("holds: ") == 5, done.stdout


def test_a_kind_of_fault_that_there_is_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--only", "earthquake"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(JOBS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "worker SIGKILL" in done.stderr
