"""A cluster that is killed in the middle of training, and a new one at the same address."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from driving import Command, wait_until
from ray_heads import TOKEN, Head
from sent_jobs import LONG, began_at, is_training, small_job, trainwright
from stories import record_of, the_run

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]


@pytest.fixture
def clusters() -> Iterator[Callable[[int | None], Head]]:
    """Starts a head and a further node, with a CPU each."""
    started: list[Head] = []

    def start(port: int | None = None) -> Head:
        started.append(Head(num_cpus=1, port=port))
        started[-1].add_node(num_cpus=1)
        return started[-1]

    try:
        yield start
    finally:
        for head in started:
            head.close()


def test_a_job_goes_on_after_the_head_with_its_whole_cluster_was_killed(
    clusters: Callable[[int | None], Head], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    first = clusters(None)
    changes = {"cluster.workers": 2, "training.epochs": LONG}
    file = small_job(tmp_path, **changes, **{"training.checkpoint_every": "20 epochs"})
    name = json.loads(trainwright(first.url, "submit", file, "--json").stdout)["id"]
    follower = Command("logs", name, "-f", "--to", first.url, folder=tmp_path)
    wait_until(lambda: is_training(tmp_path / "runs"), what="a checkpoint")
    follower.until(lambda: "progress: " in follower.output, "progress")
    told = json.loads(trainwright(first.url, "status", name, "--json").stdout)
    assert told["progress"]["total"] == 6 * LONG

    first.kill()
    run = the_run(tmp_path / "runs")
    reached = record_of(run).steps
    said = trainwright(first.url, "submit", file)
    assert said.exit_code == 2
    assert "nothing listens there" in said.stderr

    second = clusters(first.port)
    assert follower.wait() == 1
    assert f"does not know {name} any more" in follower.errors
    sent = trainwright(second.url, "submit", file, "--json")
    assert json.loads(sent.stdout)["run"] == run.name
    wait_until(lambda: record_of(run).steps > reached, what="further steps")
    assert trainwright(second.url, "stop", name).exit_code == 0
    assert began_at(run) > 0
    assert the_run(tmp_path / "runs") == run
