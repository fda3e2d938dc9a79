"""Jobs that can never fit are refused with the arithmetic, before a cluster starts."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright.job.models import ClusterSpec
from trainwright.orchestration import machine
from trainwright.orchestration.machine import does_not_fit, does_not_fit_here


def _cluster(**values: Any) -> ClusterSpec:
    return ClusterSpec.model_validate(values)


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "cpus_here", lambda: 2)
    monkeypatch.setattr(machine, "ray_is_running_here", lambda: False)


@pytest.mark.usefixtures("two_cpus")
def test_too_many_workers_for_the_machine() -> None:
    [problem] = does_not_fit_here(_cluster(workers=3))
    assert problem.path == "cluster.workers"
    assert "3 workers x 1 CPU = 3, but there are 2" in problem.message
    assert problem.mend is not None
    assert problem.mend == "use at most 2 cluster.workers, or set cluster.cpus_per_worker: 0.66"
    assert does_not_fit_here(_cluster(workers=3, cpus_per_worker=0.66)) == []


@pytest.mark.usefixtures("two_cpus")
def test_a_worker_too_large_for_the_machine() -> None:
    [problem] = does_not_fit_here(_cluster(workers=2, cpus_per_worker=64))
    assert (problem.path, problem.got) == ("cluster.cpus_per_worker", 64)
    assert problem.mend == "set cluster.cpus_per_worker: 1"


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize("workers", [0, 1])
def test_gpus_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setattr(machine, "gpus_here", lambda: 0)
    [problem] = does_not_fit_here(_cluster(workers=workers, gpus_per_worker=1))
    assert (problem.path, problem.got) == ("cluster.gpus_per_worker", 1)
    assert "but there are 0" in problem.message
    monkeypatch.setattr(machine, "gpus_here", lambda: 1)
    assert does_not_fit_here(_cluster(workers=workers, gpus_per_worker=1)) == []


@pytest.mark.usefixtures("two_cpus")
@pytest.mark.parametrize(
    "cluster", [{"workers": 0}, {"workers": 2}, {"workers": 9, "address": "auto"}]
)
def test_what_fits_or_is_not_ours_to_say(cluster: dict[str, Any]) -> None:
    assert does_not_fit_here(_cluster(**cluster)) == []


def test_gpus_that_nobody_has() -> None:
    [problem] = does_not_fit(_cluster(workers=2, gpus_per_worker=1), {"CPU": 8.0})
    assert problem.path == "cluster.gpus_per_worker"
    assert problem.mend is not None
    assert "join a cluster that has GPUs" in problem.mend
