"""Runs that fail or are stopped: what the user is told, what is kept, what comes next."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import sabotage
from driving import Command, drive, start, wait_until, write_job
from stories import Story, assert_same_run, record_of, runs_in, the_run

from trainwright.errors import RunError
from trainwright.job import Job
from trainwright.orchestration.launch import run_job

pytestmark = pytest.mark.timeout(1200)

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"
LOSS = """import torch.distributed
from torch import Tensor, nn


class Brittle(nn.Module):
    calls = 0

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        self.calls += 1
        mine = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 1
        if self.calls == 6 and mine:
            raise ArithmeticError("the sixth batch is too hard")
        return nn.functional.cross_entropy(logits, target)
"""
LINE = 1 + LOSS.splitlines().index(next(line for line in LOSS.splitlines() if "raise" in line))
MENDED = LOSS.replace("self.calls == 6", "False")
JOB: dict[str, Any] = {
    "name": "failing",
    "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
    "model": "mlp",
    "objective": "brittle.py:Brittle",
    "training": {"epochs": 2, "checkpoint_every": "2 steps", "evaluate_every": "6 steps"},
    "cluster": {"workers": 0, "cpus_per_worker": 0.5},
    "tracking": {"enabled": False},
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "brittle.py").write_text(LOSS)
    return write_job(tmp_path, JOB)


def test_a_loss_that_raises_on_a_worker(job: Path, cluster: None) -> None:
    """The user's own exception with its place; Ray does not try again what cannot succeed."""
    with pytest.raises(RunError) as caught:
        run_job(Job.load(job, ["cluster.workers=2"]))
    told = str(caught.value)
    assert "worker 1 failed: ArithmeticError: the sixth batch is too hard" in told
    assert f'brittle.py", line {LINE}' in told

    run = the_run(job.parent / "runs")
    record = record_of(run)
    assert record.status == "failed"
    assert "ArithmeticError: the sixth batch is too hard" in (record.error or "")
    assert [path.name for path in (run / "journal").iterdir()] == ["attempt-0001.jsonl"]
    assert f'brittle.py", line {LINE}' in (run / "logs" / "worker-1.log").read_text()
    assert len(Story.of(run).curve("train/loss")) >= 4, "rows up to the checkpoint are kept"

    (job.parent / "brittle.py").write_text(MENDED)
    mended = run_job(Job.load(job))
    assert mended.status == "finished"
    assert len(runs_in(job.parent / "runs")) == 2, "an edited loss is another run"


def test_the_command_line_tells_it(job: Path) -> None:
    command = Command("run", job, "--json", folder=job.parent)
    assert command.wait() == 1
    run = the_run(job.parent / "runs")
    answer = json.loads(command.output)
    assert (answer["run"], answer["status"]) == (run.name, "failed")
    assert answer["error"].startswith("training failed: ArithmeticError: the sixth batch")
    assert "ArithmeticError: the sixth batch is too hard" in command.errors
    assert f"brittle.py:{LINE}" in command.errors.replace("\n", "")
    assert f"runs/{run.name}/logs/driver.log" in command.errors.replace("\n", "")
    assert "Traceback" not in command.errors
    assert record_of(run).status == "failed"


def test_a_failed_run_goes_on_when_its_cause_is_gone(job: Path) -> None:
    """The cause lies outside job and plugin files here: the same run continues."""
    (job.parent / "brittle.py").write_text(
        LOSS.replace("import torch.distributed", "import os\nimport torch.distributed").replace(
            "self.calls == 6", "self.calls == 6 and 'TOO_HARD' in os.environ"
        )
    )
    assert drive(job, "storage=calm") == 0
    assert start(job, before=sabotage.set_variable, arguments=["TOO_HARD", "1"]).wait() == 1
    assert drive(job) == 0
    run = the_run(job.parent / "runs")
    assert Story.of(run).attempts == [1, 2]
    assert record_of(run).error is None
    assert_same_run(run, the_run(job.parent / "calm"))


@pytest.fixture
def held(tmp_path: Path) -> Path:
    """A job that waits at its eighth update as long as there is a file."""
    (tmp_path / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
    (tmp_path / "orders").mkdir()
    strategies = [{"name": "saboteur.py:Saboteur", "orders": str(tmp_path / "orders")}]
    values = {**JOB, "objective": "cross_entropy", "strategies": strategies}
    values["training"] = {"epochs": 30, "checkpoint_every": "2 steps"}
    return write_job(tmp_path, values)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_stopped_in_one_process(held: Path, number: int) -> None:
    orders = held.parent / "orders"
    assert drive(held, "storage=calm") == 0

    (orders / "hold-7-0").touch()
    stopped = Command("run", held.name, "--json", folder=held.parent)
    stopped.until(lambda: (orders / "holding").exists(), "it reached the update")
    stopped.send(number)
    stopped.until(lambda: "stopping" in stopped.errors, "it was heard")
    (orders / "hold-7-0").unlink()
    assert stopped.wait() == 130
    assert re.search(r"continue with: \S*trainwright run job.yaml", stopped.errors)
    answer = json.loads(stopped.output)
    assert answer["status"] == "interrupted"
    run = the_run(held.parent / "runs")
    record = record_of(run)
    assert record.status == "interrupted"
    assert 8 <= record.steps < 300
    assert (run / "checkpoints" / f"step-{record.steps:08d}-a1" / "manifest.json").exists()

    assert drive(held) == 0
    assert_same_run(run, the_run(held.parent / "calm"))


def test_a_second_signal_ends_at_once(held: Path) -> None:
    """Training hangs here, so only the second signal can end it; what was saved is kept."""
    orders = held.parent / "orders"
    (orders / "hold-7-0").touch()
    stopped = Command("run", held, folder=held.parent)
    stopped.until(lambda: (orders / "holding").exists(), "it reached the update")
    stopped.send(signal.SIGINT)
    stopped.until(lambda: "stopping" in stopped.errors, "it was heard")
    stopped.send(signal.SIGINT)
    assert stopped.wait(60) == 130, stopped.errors
    run = the_run(held.parent / "runs")
    assert record_of(run).status == "interrupted"
    (orders / "hold-7-0").unlink()
    assert drive(held) == 0
    assert len(Story.of(run).curve("train/loss")) == record_of(run).total_steps


def test_a_run_that_is_running_is_refused(held: Path) -> None:
    orders = held.parent / "orders"
    (orders / "hold-7-0").touch()
    first = start(held)
    wait_until((orders / "holding").exists)
    second = Command("run", held, folder=held.parent)
    assert second.wait() == 2
    assert f"is being run already, by process {first.process.pid}" in " ".join(
        second.errors.split()
    )
    (orders / "hold-7-0").unlink()
    assert first.wait() == 0


def test_a_wrong_job_starts_nothing(job: Path) -> None:
    command = Command("run", job, "-s", "model=mpl", "--json", folder=job.parent)
    assert command.wait() == 2
    assert "Traceback" not in command.errors
    assert "mlp" in command.errors
    assert json.loads(command.output)["status"] == "refused"
    assert {path.name for path in job.parent.iterdir()} <= {"__pycache__", "brittle.py", "job.yaml"}
