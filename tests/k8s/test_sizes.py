"""How many pods a job gets, and what the user is told if they cannot hold it."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.errors import InputError
from trainwright.submission.kubernetes.rendering.sizes import processes_in, replicas_for
from trainwright.submission.parcel import Need
from trainwright.submission.profile import Worker


def worker(**values: Any) -> Worker:
    return Worker.model_validate(values, strict=True)


@pytest.mark.parametrize(
    ("need", "pod", "fit"),
    [
        (Need(1, 1.0, 0.0), {"cpu": 4}, 4),
        (Need(1, 1.5, 0.0), {"cpu": 4}, 2),
        (Need(1, 0.1, 0.0), {"cpu": 1}, 10),  # 1 / 0.1 is less than 10 in floating point
        (Need(1, 0.3, 0.0), {"cpu": 3}, 10),
        (Need(1, 1.0, 0.0), {"cpu": 3.9}, 3),
        (Need(1, 0.5, 0.0), {"cpu": 1.5}, 2),  # Ray is told of one CPU
        (Need(1, 0.25, 0.0), {"cpu": 0.5}, 2),
        (Need(1, 1.0, 1.0), {"cpu": 16, "gpu": 8}, 8),
        (Need(1, 4.0, 1.0), {"cpu": 16, "gpu": 8}, 4),
        (Need(1, 1.0, 2.0), {"cpu": 16, "gpu": 8}, 4),
        (Need(1, 1.0, 3.0), {"cpu": 16, "gpu": 8}, 2),
        (Need(1, 1.0, 0.5), {"cpu": 16, "gpu": 4}, 8),
        (Need(1, 1.0, 0.3), {"cpu": 16, "gpu": 2}, 6),
        (Need(1, 1.0, 0.4), {"cpu": 16, "gpu": 2}, 4),  # not 5: no process has parts of two GPUs
        (Need(1, 1.0, 0.0), {"cpu": 2, "gpu": 8}, 2),
    ],
)
def test_processes_in_a_pod(need: Need, pod: dict[str, Any], fit: int) -> None:
    assert processes_in(need, worker(**pod)) == fit


@pytest.mark.parametrize(
    ("need", "pod", "replicas"),
    [
        (Need(0, 9.0, 0.0), {"cpu": 1}, 0),
        (Need(1, 1.0, 0.0), {"cpu": 4}, 1),
        (Need(4, 1.0, 0.0), {"cpu": 4}, 1),
        (Need(5, 1.0, 0.0), {"cpu": 4}, 2),
        (Need(2, 1.0, 0.0), {"cpu": 4, "replicas": 3}, 3),
        (Need(None, 1.0, 0.0), {"cpu": 4}, 1),
        (Need(None, 1.0, 0.0), {"cpu": 4, "replicas": 3}, 3),
    ],
)
def test_pods_of_a_job(need: Need, pod: dict[str, Any], replicas: int) -> None:
    assert replicas_for(need, worker(**pod)) == replicas


@pytest.mark.parametrize(
    ("need", "pod", "path", "words"),
    [
        (
            Need(2, 2.0, 0.0),
            {"cpu": 1},
            "worker.cpu",
            ["cluster.cpus_per_worker", "got:     1.0", "at least 2", "worker.cpu=2", "-s cluster"],
        ),
        (Need(2, 2.5, 0.0), {"cpu": 2.7}, "worker.cpu", ["got:     2.7", "Ray counts whole ones"]),
        (Need(None, 2.0, 0.0), {"cpu": 1}, "worker.cpu", ["cluster.cpus_per_worker"]),
        (Need(2, 1.0, 1.0), {"cpu": 1}, "worker.gpu", ["cluster.gpus_per_worker", "worker.gpu=1"]),
        (Need(0, 1.0, 1.0), {"cpu": 1}, "worker.gpu", ["cluster.gpus_per_worker"]),
        (
            Need(9, 1.0, 0.0),
            {"cpu": 4, "replicas": 2},
            "worker.replicas",
            ["cluster.workers=9", "4 of them fit", "at least 3", "worker.replicas=3"],
        ),
    ],
)
def test_what_does_not_fit(need: Need, pod: dict[str, Any], path: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        replicas_for(need, worker(**pod))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert all(word in str(problem) for word in words), str(problem)


def test_everything_that_is_lacking_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        replicas_for(Need(2, 8.0, 2.0), worker(cpu=4, gpu=1))
    assert [problem.path for problem in caught.value.problems] == ["worker.cpu", "worker.gpu"]


def test_what_is_told_helps() -> None:
    """The pod as the user is told to make it holds a process."""
    for cpu, cpus in ((0.5, 1.0), (1.5, 1.2), (3, 3.5), (2.9, 2.5)):
        need = Need(1, cpus, 0.0)
        with pytest.raises(InputError) as caught:
            replicas_for(need, worker(cpu=cpu))
        pod, job = caught.value.problems[0].mend.split(", or ")
        assert replicas_for(need, worker(cpu=float(pod.split("=")[1]))) == 1
        assert replicas_for(Need(1, float(job.split("=")[1]), 0.0), worker(cpu=cpu)) == 1
