"""A small job, ways to call the command line, and one finished run that several tests read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pretended_target import PretendedTarget
from typer.testing import CliRunner

from trainwright.cli.main import app

JOB = """\
name: tiny
data: {source: digits, batch_size: 128, validation: 0.2}
model: {name: mlp, hidden: [16]}
objective: cross_entropy
training: {epochs: 2, monitor: validation/loss}
metrics: [accuracy]
cluster: {workers: 0}
tracking: {enabled: false}
"""


@dataclass
class Said:
    """What a call of the command line left behind."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Standard output, which must be one JSON object and nothing else."""
        value = json.loads(self.out, parse_constant=_no_constant)
        assert isinstance(value, dict)
        return value


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no standard JSON")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """The small job, as ``job.yaml`` in the working directory."""
    (tmp_path / "job.yaml").write_text(JOB)
    return tmp_path / "job.yaml"


@pytest.fixture
def call() -> Callable[..., Said]:
    """Call the command line inside this process."""

    def invoke(*arguments: str, width: int | None = None) -> Said:
        environment = {"COLUMNS": str(width)} if width else {}
        result = CliRunner().invoke(app, list(arguments), env=environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> PretendedTarget:
    """What every --to leads to; jobs are packed without a look at their data."""
    from trainwright.submission import packing, targets
    from trainwright.submission.checking import Checked

    made = PretendedTarget()
    monkeypatch.setattr(targets.Address, "open", lambda self: made)
    monkeypatch.setattr(packing, "check_here", lambda *_: Checked("tiny-1234abcd", ["a remark"]))
    monkeypatch.delenv("TRAINWRIGHT_TO", raising=False)
    return made


def environment() -> dict[str, str]:
    """For processes of the command line."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def shell() -> Callable[..., Said]:
    """Call the command line in a process of its own."""

    def execute(*arguments: str, timeout_s: float = 240) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "trainwright", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment(),
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return execute


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``job.yaml`` and the finished run of it in ``runs``."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "job.yaml").write_text(JOB)
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = CliRunner().invoke(app, ["run", "job.yaml", "--quiet"])
    finally:
        os.chdir(before)
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture
def workplace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of one's own with the finished run."""
    place = tmp_path / "workplace"
    shutil.copytree(finished, place)
    monkeypatch.chdir(place)
    return place
