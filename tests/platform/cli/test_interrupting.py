"""Ctrl-C: a checkpoint, exit status 130, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SLOW_LOSS = '''\
import time

import torch


class Slow(torch.nn.Module):
    """Takes its time once the dry run is over."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if self.calls > 2:
            time.sleep(0.05)
        return torch.nn.functional.cross_entropy(logits, target)
'''
ARGUMENTS = ("job.yaml", "-s", "objective=losses.py:Slow", "-s", "training.epochs=4")
STEPS = 48


class Process:
    """The command line in a process that gets signals."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "trainwright", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # A test run in the background of a shell is started with SIGINT ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def end(self) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        out, err = self.process.communicate(timeout=240)
        return self.process.returncode, out, err

    def signal_when(self, condition: Callable[[], Any], *numbers: int) -> None:
        """Send signals once something has happened."""
        deadline = time.monotonic() + 200
        while not condition():
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        for number in numbers:
            self.process.send_signal(number)
            time.sleep(0.2)


@pytest.fixture
def slow_job(job: Path) -> Path:
    (job.parent / "losses.py").write_text(SLOW_LOSS)
    return job


def _trained(folder: Path) -> Callable[[], bool]:
    """Whether some updates are in a run's journal."""
    return lambda: any(
        file.read_text().count("train/loss") > 3 for file in folder.glob("runs/*/journal/*.jsonl")
    )


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM]
)
def test_an_interrupted_run_is_continued_by_the_same_command(
    slow_job: Path, number: int, shell: Callable[..., Any]
) -> None:
    process = Process("run", *ARGUMENTS, "--json", "--fresh")
    process.signal_when(_trained(slow_job.parent), number)
    status, out, err = process.end()
    assert status == 130
    first = json.loads(out)
    assert first["status"] == "interrupted"
    assert 0 < first["steps"] < STEPS
    assert "a checkpoint was written" in first["error"]
    checkpoint = f"step-{first['steps']:08d}-a1"
    assert (Path(first["storage"]) / "checkpoints" / checkpoint / "manifest.json").is_file()
    assert f"stopped: at step {first['steps']} of {STEPS}" in err
    again = f"trainwright run {' '.join(ARGUMENTS)}"
    assert f"continue with: {again}\n" in err
    assert "Traceback" not in err

    second = shell("run", *ARGUMENTS, "--json")
    assert second.status == 0, second.err
    assert second.json["run"] == first["run"]
    assert second.json["steps"] == STEPS
    assert second.json["seconds"] > first["seconds"]
    assert "going on from an earlier attempt" in second.err


@pytest.mark.slow
def test_a_second_signal_ends_at_once(slow_job: Path) -> None:
    process = Process("run", *ARGUMENTS, "--json")
    # Python turns the second signal into an exception wherever training happens to be.
    process.signal_when(_trained(slow_job.parent), signal.SIGINT, signal.SIGINT)
    status, out, err = process.end()
    assert status == 130
    assert json.loads(out)["status"] == "interrupted"
    assert "Traceback" not in err


def test_a_signal_before_training_leaves_nothing(slow_job: Path) -> None:
    """While the job is still being checked there is nothing to save."""
    source = slow_job.parent / "losses.py"
    source.write_text(f"import time\nopen('seen', 'w').close()\ntime.sleep(20)\n{SLOW_LOSS}")
    process = Process("run", *ARGUMENTS, "--json")
    process.signal_when((slow_job.parent / "seen").exists, signal.SIGINT)
    status, out, err = process.end()
    assert status == 130
    answer = json.loads(out)
    assert (answer["status"], answer["run"], answer["steps"]) == ("interrupted", None, 0)
    assert "interrupted: stopped by the user" in err
    assert not (slow_job.parent / "runs").exists()
