"""Pods that are about to end: what their preStop hooks do, on Ray nodes that are processes here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from attempts import Attempt, Submitted
from driving import KILLED, wait_until
from machines import Machines
from stories import Story

from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.quiet import set_defaults
from trainwright.submission.parcel import SUBMISSION

pytestmark = [pytest.mark.timeout(1200), pytest.mark.slow]

STEPS = 92
HELD = 25


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"})
    machines = Machines()
    yield machines
    machines.close()


@pytest.fixture
def submitted(tmp_path: Path, machines: Machines) -> Submitted:
    """A job on two workers, with the environment that Ray's supervisor gives to its driver."""
    machines.ensure(2)
    variables = {SUBMISSION: f"digits-{tmp_path.name}", "RAY_JOB_STOP_WAIT_TIME_S": "100"}
    config = {"runtime_env": {"env_vars": variables}, "metadata": {}}
    environment = {
        **variables,
        "RAY_ADDRESS": machines.address,
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(config),
    }
    return Submitted(
        tmp_path,
        environment,
        anew=True,
        data={"source": "digits", "batch_size": 64, "validation": 0.2},
        training={"epochs": 4, "checkpoint_every": "20 steps", "record_samples": True},
        cluster={"workers": 2, "cpus_per_worker": 1},
    )


def hook(submitted: Submitted, pod: str) -> subprocess.Popen[str]:
    """What Kubernetes calls in a pod of this submission that is to end."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainwright.submission.inside.leave", pod],
        env=submitted.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def assert_saved(submitted: Submitted, attempt: Attempt) -> None:
    """There is a checkpoint of the step at which it was stopped."""
    told = re.search(r"\nstopped: at step (\d+) of 92; a checkpoint was written\n", attempt.log)
    assert told, attempt.log
    assert HELD < int(told[1]) == submitted.checkpoints[-1] < STEPS


def assert_whole(submitted: Submitted, *attempts: Attempt) -> None:
    """Every update was done once, all logs were kept."""
    assert submitted.record.status == "finished"
    assert sorted(Story.of(submitted.run).samples) == list(range(1, STEPS + 1))
    submitted.wait_for_logs(*attempts)


def test_the_heads_pod_ends(submitted: Submitted) -> None:
    """The driver has a checkpoint written before its pod goes; the next attempt goes on from it."""
    first = submitted.attempt(hold=HELD)
    assert submitted.checkpoints[-1] < HELD
    leaving = hook(submitted, "head")
    first.until("stopping: a checkpoint is being written")
    assert leaving.poll() is None
    submitted.let_go()
    assert leaving.wait(120) == 0
    assert first.wait() == 130
    assert_saved(submitted, first)
    second = submitted.attempt()
    assert second.wait() == 0, second.log
    assert "going on from an earlier attempt" in second.log
    assert_whole(submitted, first, second)


def test_the_heads_pod_is_killed(submitted: Submitted) -> None:
    """What KubeRay does then is another attempt with the same parcel."""
    first = submitted.attempt(hold=HELD)
    first.until("progress: step ")
    first.process.kill()
    assert first.wait() == KILLED
    submitted.let_go()
    second = submitted.attempt()
    assert second.wait() == 0, second.log
    assert "going on from an earlier attempt" in second.log
    told = re.findall(r"\nprogress: step (\d+) of (\d+) ", first.log + second.log)
    assert {total for _, total in told} == {"92"}
    assert told[-1] == ("92", "92")
    assert Story.of(submitted.run).attempts == [1, 2]
    assert_whole(submitted, first, second)


def test_the_pods_of_workers_end(submitted: Submitted, machines: Machines) -> None:
    """Training is saved before they go, and goes on elsewhere within the same attempt."""
    attempt = submitted.attempt(hold=HELD)
    leaving = hook(submitted, "worker")
    assert wait_until(lambda: len(machines.draining) == 2, what="that no one is placed here")
    assert leaving.poll() is None
    machines.add()
    machines.add()
    submitted.let_go()
    assert leaving.wait(120) == 0, leaving.communicate()
    assert attempt.wait() == 0, attempt.log
    assert "was asked to end, and training was saved before" in attempt.log
    assert_whole(submitted, attempt)


def test_all_pods_end_at_once(submitted: Submitted) -> None:
    """As when a job is suspended: whoever is told first, there is a checkpoint, and all go."""
    first = submitted.attempt(hold=HELD)
    pods = [hook(submitted, pod) for pod in ("worker", "head", "worker")]
    first.until("stopping: a checkpoint is being written")
    submitted.let_go()
    for pod in pods:
        assert pod.wait(120) == 0
    assert first.wait() == 130
    assert_saved(submitted, first)


def test_a_pod_without_work_ends_at_once(submitted: Submitted) -> None:
    for pod in ("head", "worker"):
        assert hook(submitted, pod).wait(60) == 0
    assert hook(submitted, "elsewhere").wait(60) == 2
