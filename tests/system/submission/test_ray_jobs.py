"""Jobs sent to a Ray cluster over its Jobs API: real heads, real drivers, real faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from driving import wait_until, write_job
from ray_heads import TOKEN, Head
from stories import record_of, the_run
from typer.testing import CliRunner

from trainwright.cli.main import app
from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage

pytestmark = pytest.mark.timeout(1200)

LONG = 100_000
"""Epochs that no test waits for."""

FAILING = """
from torch import Tensor, nn


class Failing(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if logits.requires_grad and len(logits) > 100:
            raise ZeroDivisionError("on purpose")
        return nn.functional.cross_entropy(logits, target)
"""


@pytest.fixture(autouse=True)
def _as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without a token, the token in the environment, and variables that mislead Ray."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)


def job(folder: Path, **changes: Any) -> Path:
    values = {
        "name": "digits",
        "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "training.epochs": 2,
        "cluster.workers": 0,
        "tracking.enabled": False,
        **changes,
    }
    return write_job(folder, values)


def trainwright(head: Head, *arguments: str | Path) -> Result:
    """A call of the command line; it may not say the token or show a traceback."""
    said = CliRunner().invoke(app, [*map(str, arguments), "--to", head.url], env={})
    assert TOKEN not in said.output
    assert "Traceback" not in said.output
    return said


def status(head: Head, submission: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(trainwright(head, "status", submission, "--json").stdout)
    return told


def is_training(storage: Path) -> bool:
    """Whether a first checkpoint is there."""
    return any(storage.glob("*/checkpoints/*/manifest.json"))


def began_at(run: Path) -> int:
    """The step of the first attempt at which the second one went on."""
    attempts = [row for row in read_lineage(Folder(str(run))) if row["kind"] == "attempt"]
    assert [row["attempt"] for row in attempts] == [1, 2]
    ((number, step),) = attempts[-1]["lineage"]
    assert number == 1
    return int(step)


def test_a_job_is_followed_to_its_end_joined_told_and_deleted(head: Head, tmp_path: Path) -> None:
    file = job(tmp_path, **{"cluster.workers": 1, "cluster.cpus_per_worker": 0.5})
    sent = trainwright(head, "submit", file, "--follow")
    assert sent.exit_code == 0, sent.output
    run = the_run(tmp_path / "runs")
    assert record_of(run).status == "finished"
    assert "Running entrypoint" in sent.stdout
    assert f"finished {run.name}" in sent.stdout
    name = sent.stdout.split()[0]

    joined = trainwright(head, "submit", file, "--follow")
    assert joined.exit_code == 0
    assert f"{name} is finished already" in joined.stdout

    told = status(head, "digits")
    assert (told["id"], told["state"], told["run"]) == (name, "finished", run.name)
    assert told["storage"] == str(tmp_path / "runs")
    assert told["submitted"] < told["ended"]
    log = trainwright(head, "logs", name)
    followed = sent.stdout[sent.stdout.index("Running entrypoint") :]
    assert log.stdout.splitlines() == [*log.stdout.splitlines()[:1], *followed.splitlines()]

    listed = json.loads(trainwright(head, "list", "--json").stdout)
    assert name in [one["id"] for one in listed["submissions"]]
    assert trainwright(head, "delete", name).exit_code == 0
    assert trainwright(head, "status", name).exit_code == 2
    assert record_of(run).status == "finished"
    assert not (tmp_path / "home" / ".ray").exists()


def test_a_job_stopped_in_training_goes_on_when_it_is_sent_again(
    head: Head, tmp_path: Path
) -> None:
    file = job(tmp_path, **{"training.epochs": LONG, "training.checkpoint_every": "20 epochs"})
    assert trainwright(head, "submit", file).exit_code == 0
    wait_until(lambda: is_training(tmp_path / "runs"), what="a checkpoint")
    refused = trainwright(head, "delete", "digits")
    assert refused.exit_code == 2
    assert "it is running" in refused.stderr

    stopped = json.loads(trainwright(head, "stop", "digits", "--json").stdout)
    name, run = stopped["id"], the_run(tmp_path / "runs")
    assert (stopped["state"], record_of(run).status) == ("stopped", "interrupted")
    reached = record_of(run).steps
    assert f"at step {reached} of" in trainwright(head, "logs", name).stdout

    sent = trainwright(head, "submit", file)
    assert f"{name}-2 sent; it goes on where {name} ended" in sent.stdout
    wait_until(lambda: record_of(run).steps > reached, what="further steps")
    assert trainwright(head, "delete", f"{name}-2", "--force").exit_code == 0
    assert trainwright(head, "delete", name).exit_code == 0
    assert began_at(run) == reached


def test_a_job_that_fails_says_why_in_one_line(head: Head, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    sent = trainwright(head, "submit", job(tmp_path, objective="failing.py:Failing"), "--follow")
    assert sent.exit_code == 1
    assert "exit status 1: ZeroDivisionError: on purpose" in sent.stderr
    assert trainwright(head, "delete", "digits").exit_code == 0


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"RAY_AUTH_TOKEN": ""}, "asks for a token (HTTP 401), and none was found"),
        ({"RAY_AUTH_TOKEN": "", "RAY_AUTH_MODE": "token"}, "no token was found"),
        ({"RAY_AUTH_TOKEN": "f" * 48}, "does not take the token that was sent (HTTP 403)"),
        ({"RAY_AUTH_MODE": "disabled"}, "asks for a token (HTTP 401), and none was found"),
    ],
    ids=["none", "missing", "wrong", "disabled"],
)
def test_a_missing_or_wrong_token_is_told(
    head: Head, environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    said = trainwright(head, "list")
    assert said.exit_code == 2
    assert told in said.stderr
    assert "RAY_AUTH_TOKEN_PATH" in said.stderr
    assert "f" * 48 not in said.output


def test_a_token_is_found_in_a_file(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert trainwright(head, "list").exit_code == 0
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "token").rename(tmp_path / "home" / ".ray" / "auth_token")
    assert trainwright(head, "list").exit_code == 0
