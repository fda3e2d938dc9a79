"""Jobs sent to a Ray cluster over its Jobs API: real heads, real drivers, real faults."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import pytest
from driving import wait_until
from kube.tls import certificate
from proxy import Proxy
from ray_heads import TOKEN, Head
from sent_jobs import LONG, began_at, is_training, small_job, trainwright
from stories import record_of, the_run
from tls_front import TlsFront

from trainwright.submission.ray_jobs import following
from trainwright.submission.ray_jobs.target import RayTarget
from trainwright.submission.target import Submission

pytestmark = pytest.mark.timeout(1200)

FAILING = """
from torch import Tensor, nn


class Failing(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if logits.requires_grad and len(logits) > 100:
            raise ZeroDivisionError("on purpose")
        return nn.functional.cross_entropy(logits, target)
"""

COUNTING = """
import itertools, os, sys, time

for n in itertools.takewhile(lambda _: not os.path.exists(sys.argv[1]), itertools.count()):
    print("line", n, flush=True)
    time.sleep(0.02)
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


def test_a_job_is_followed_to_its_end_joined_told_and_deleted(head: Head, tmp_path: Path) -> None:
    file = small_job(tmp_path, **{"cluster.workers": 1, "cluster.cpus_per_worker": 0.5})
    sent = trainwright(head.url, "submit", file, "--follow")
    assert sent.exit_code == 0, sent.output
    run = the_run(tmp_path / "runs")
    assert record_of(run).status == "finished"
    assert "Running entrypoint" in sent.stdout
    assert f"finished {run.name}" in sent.stdout
    name = sent.stdout.split()[0]

    joined = trainwright(head.url, "submit", file, "--follow")
    assert joined.exit_code == 0
    assert f"{name} is finished already" in joined.stdout

    told = json.loads(trainwright(head.url, "status", "digits", "--json").stdout)
    assert (told["id"], told["state"], told["run"]) == (name, "finished", run.name)
    assert told["storage"] == str(tmp_path / "runs")
    assert told["submitted"] < told["ended"]
    log = trainwright(head.url, "logs", name)
    followed = sent.stdout[sent.stdout.index("Running entrypoint") :]
    assert log.stdout.splitlines() == [*log.stdout.splitlines()[:1], *followed.splitlines()]

    listed = json.loads(trainwright(head.url, "list", "--json").stdout)
    assert name in [one["id"] for one in listed["submissions"]]
    assert trainwright(head.url, "delete", name).exit_code == 0
    assert trainwright(head.url, "status", name).exit_code == 2
    assert record_of(run).status == "finished"
    assert not (tmp_path / "home" / ".ray").exists()


def test_a_job_stopped_in_training_goes_on_when_it_is_sent_again(
    head: Head, tmp_path: Path
) -> None:
    file = small_job(
        tmp_path, **{"training.epochs": LONG, "training.checkpoint_every": "20 epochs"}
    )
    assert trainwright(head.url, "submit", file).exit_code == 0
    wait_until(lambda: is_training(tmp_path / "runs"), what="a checkpoint")
    refused = trainwright(head.url, "delete", "digits")
    assert refused.exit_code == 2
    assert "it is running" in refused.stderr

    stopped = json.loads(trainwright(head.url, "stop", "digits", "--json").stdout)
    name, run = stopped["id"], the_run(tmp_path / "runs")
    assert (stopped["state"], record_of(run).status) == ("stopped", "interrupted")
    reached = record_of(run).steps
    assert f"at step {reached} of" in trainwright(head.url, "logs", name).stdout

    sent = trainwright(head.url, "submit", file)
    assert f"{name}-2 sent; it goes on where {name} ended" in sent.stdout
    wait_until(lambda: record_of(run).steps > reached, what="further steps")
    assert trainwright(head.url, "delete", f"{name}-2", "--force").exit_code == 0
    client = RayTarget(head.url)._client
    with pytest.raises(TimeoutError):  # nothing of it comes back
        wait_until(lambda: f"{name}-2" in {one.submission_id for one in client.list_jobs()}, 2)
    assert trainwright(head.url, "delete", name).exit_code == 0
    assert began_at(run) == reached


def test_a_job_that_fails_says_why_in_one_line(head: Head, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    sent = trainwright(
        head.url, "submit", small_job(tmp_path, objective="failing.py:Failing"), "--follow"
    )
    assert sent.exit_code == 1
    assert "exit status 1: ZeroDivisionError: on purpose" in sent.stderr
    assert trainwright(head.url, "delete", "digits").exit_code == 0


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
    said = trainwright(head.url, "list")
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
    assert trainwright(head.url, "list").exit_code == 0
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH")
    (tmp_path / "home" / ".ray").mkdir(parents=True)
    (tmp_path / "token").rename(tmp_path / "home" / ".ray" / "auth_token")
    assert trainwright(head.url, "list").exit_code == 0


def test_a_log_is_followed_over_tls_and_over_connections_that_break(
    head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "LOOK_S", 0.2)
    pem, context = certificate()
    (tmp_path / "ca.pem").write_bytes(pem)
    proxy = Proxy(head.port)
    front = TlsFront(context, proxy.port)
    target = RayTarget(f"https://127.0.0.1:{front.port}", tmp_path / "ca.pem")
    (tmp_path / "counting.py").write_text(COUNTING)
    target._client.submit_job(
        entrypoint=f"{sys.executable} {tmp_path / 'counting.py'} {tmp_path / 'enough'}",
        submission_id="counting-01234567",
        metadata={"trainwright": "1"},
    )

    def disturb(mode: str) -> None:
        lost, proxy.mode = proxy.num_lost, mode
        wait_until(lambda: proxy.num_lost > lost, what="a connection that breaks")
        proxy.mode = "pass"

    faults = ["lose", "reset", "busy"]
    events = []
    try:
        for event in target.follow("counting-01234567"):
            events.append(event)
            if not str(event).startswith("line") or proxy.mode != "pass":
                continue
            if faults:
                threading.Thread(target=disturb, args=(faults.pop(0),), daemon=True).start()
            else:
                (tmp_path / "enough").touch()
    finally:
        front.stop()
        proxy.stop()
    lines = [event for event in events if isinstance(event, str) and event.startswith("line")]
    assert lines == [f"line {n}" for n in range(len(lines))]
    assert isinstance(events[-1], Submission)
    assert events[-1].state == "finished"
    assert (faults, proxy.mode) == ([], "pass")
