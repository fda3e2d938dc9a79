"""``doctor --to http://...``: a real head, looked at from here and from inside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from driving import wait_until, write_job
from ray_heads import TOKEN, Head
from typer.testing import CliRunner

from trainwright.cli.main import app
from trainwright.submission.ray_jobs import sending

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def _as_a_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


def doctor(head: Head, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Its exit status, and what it finds, by name; whatever is not well has a mend."""
    said = CliRunner().invoke(app, ["doctor", *arguments, "--to", head.url, "--json"], env={})
    assert TOKEN not in said.output
    findings = json.loads(said.stdout)["findings"]
    assert all(bool(one["mend"]) == (one["state"] != "ok") for one in findings)
    return said.exit_code, {one["name"]: one for one in findings}


def jobs_of(head: Head) -> list[str]:
    """Every job that Ray remembers."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.get(f"{head.url}/api/jobs/", headers=headers, timeout=30)
    return [str(job["submission_id"]) for job in answer.json()]


def test_a_job_that_has_too_many_workers(head: Head, tmp_path: Path) -> None:
    job = write_job(
        tmp_path,
        {
            "name": "digits",
            "data": {"source": "digits", "batch_size": 256, "validation": 0.2},
            "model": {"name": "mlp", "hidden": [8]},
            "objective": "cross_entropy",
            "cluster.workers": 50,
        },
    )
    status, found = doctor(head, str(job))
    assert status == 1
    assert {name for name, one in found.items() if one["state"] == "stop"} == {"room"}
    assert "cluster.workers" in found["room"]["mend"]
    assert found["job"]["says"].startswith("would run as digits-")
    assert str(tmp_path / "runs") in found["storage"]["says"]
    assert found["token"]["says"] == "accepted"
    assert "1 node: 2 CPU" in found["ray cluster"]["says"]
    assert found["nodes"]["state"] == "ok"
    assert not any(name.startswith("doctor-") for name in jobs_of(head))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_who_is_interrupted_leaves_nothing(head: Head, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "trainwright", "doctor", "--to", head.url]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ}
    )
    assert process.stdout is not None
    for line in process.stdout:
        if "memory" in line:
            process.send_signal(number)
            break
    assert process.wait() == 130
    wait_until(
        lambda: not any(name.startswith("doctor-") for name in jobs_of(head)), what="its removal"
    )


def test_a_cluster_without_trainwright(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o700)
    monkeypatch.setattr(sending, "_python", lambda url: str(python))
    status, found = doctor(head)
    assert status == 1
    assert "has no trainwright" in found["probe"]["says"]
    assert not any(name.startswith("doctor-") for name in jobs_of(head))


def test_without_a_probe_nothing_is_sent(head: Head) -> None:
    before = jobs_of(head)
    status, found = doctor(head, "--no-probe")
    assert (status, list(found)) == (0, ["reachable", "token", "ray of the head"])
    assert jobs_of(head) == before


def test_a_wrong_token_and_a_storage_of_nowhere_are_bad_input(
    head: Head, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 48)
    said = CliRunner().invoke(app, ["doctor", "--to", head.url], env={})
    assert said.exit_code == 2
    assert "token" in said.output
