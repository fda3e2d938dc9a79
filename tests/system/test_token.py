"""A Ray cluster that asks for a token."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from driving import Command, end_all, wait_until, write_job
from gloo import free_port
from stories import record_of, the_run

from trainwright.orchestration.tokens import _answers

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]

TOKEN = "0123456789abcdef" * 3


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a running head, whose files are all in a folder of its own."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    head = psutil.Popen(
        [
            *(Path(sys.executable).parent / "ray", "start", "--head", "--block"),
            *("--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2"),
            *("--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={home / 'ray'}"),
        ],
        env={**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: _answers(f"127.0.0.1:{port}"), what="the head")
        yield f"127.0.0.1:{port}"
    finally:
        end_all([head, *head.children(recursive=True)])


@pytest.fixture
def job(tmp_path: Path, address: str) -> Path:
    values = {
        "name": "token",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": "mlp",
        "objective": "cross_entropy",
        "cluster": {"address": address, "workers": 1, "cpus_per_worker": 0.5},
        "tracking": {"enabled": False},
    }
    return write_job(tmp_path, values)


def run(job: Path, **environment: str) -> Command:
    """The command in a home folder without a token."""
    (job.parent / "home").mkdir(exist_ok=True)
    own = {"HOME": str(job.parent / "home"), **environment}
    return Command("run", job, folder=job.parent, environment=own)


def test_the_right_token_from_the_environment(job: Path, tmp_path: Path) -> None:
    command = run(job, RAY_AUTH_TOKEN=TOKEN)
    assert command.wait() == 0, command.errors
    folder = the_run(tmp_path / "runs")
    assert record_of(folder).status == "finished"
    for path in [*folder.rglob("*"), *(tmp_path / "home").rglob("*")]:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path
    assert TOKEN not in command.errors + command.output


def test_the_right_token_from_a_file(job: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    command = run(job, RAY_AUTH_TOKEN_PATH=str(tmp_path / "token"))
    assert command.wait() == 0, command.errors


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"RAY_AUTH_TOKEN": "f" * 48}, "does not let this process in, which came with a token"),
        ({"RAY_AUTH_MODE": "token"}, "needs a token"),
        ({}, "does not let this process in, which came without a token"),
    ],
    ids=["wrong", "missing", "none"],
)
def test_a_wrong_or_missing_token_is_told(
    job: Path, environment: dict[str, str], told: str
) -> None:
    command = run(job, **environment)
    assert command.wait() == 1
    said = " ".join(command.errors.split())
    assert told in said
    assert "RAY_AUTH_TOKEN" in said
    assert "Traceback" not in said
    assert "f" * 48 not in said
