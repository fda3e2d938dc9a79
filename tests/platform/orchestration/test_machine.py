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
    assert problem.path == "cluster.cpus_per_worker"
    assert "3 workers x 1 CPU = 3, but there are 2" in problem.message
    assert problem.mend is not None
    assert "cluster.cpus_per_worker: 0.66" in problem.mend
    assert does_not_fit_here(_cluster(workers=3, cpus_per_worker=0.66)) == []


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
