"""A run whose number of workers changes again and again, against one that nothing happens to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import write_job
from stories import Story

from trainwright.checkpoint import CheckpointStore
from trainwright.job import Job
from trainwright.storage import Folder

TOLERANCE = 1e-5
JOB: dict[str, Any] = {
    "name": "resized",
    "data": {"source": "digits", "batch_size": 300, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [48]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "training": {
        "epochs": 2,
        "evaluate_every": "2 steps",
        "record_samples": True,
        "max_grad_norm": 0.5,
    },
    "metrics": ["accuracy"],
    "engine": "deepspeed",
    "cluster": {"workers": [1, 4], "cpus_per_worker": 0.25},
    "tracking": {"enabled": False},
}
NAMES = {1: "one_worker", 2: "two_workers", 4: "four_workers"}
UPDATES = 10


def _work(job: dict[str, Any], base: str, run: str, stops: bool) -> bool:
    """Train to the end, or for the two updates that a request to stop takes to be heard."""
    import torch.distributed as dist

    from trainwright.orchestration.monitor import LocalMonitor
    from trainwright.training.worker import WorkOrder, work

    monitor = LocalMonitor()
    if stops:
        monitor.request_stop()
    order = WorkOrder(job=job, base=base, run_url=run)
    return work(order, monitor if dist.get_rank() == 0 else None).complete


def _trained(
    request: pytest.FixtureRequest, folder: Path, workers: list[int], changes: dict[str, Any]
) -> tuple[Story, Folder]:
    """The story of a run that as many workers after one another take part in."""
    run = folder / "run"
    run.mkdir(parents=True)
    values = _values(folder, changes)
    for place, number in enumerate(workers):
        group = request.getfixturevalue(NAMES[number])
        last = place == len(workers) - 1
        complete = group.run(_work, values, str(folder), str(run), not last)
        assert complete == [last] * number
    return Story.of(run), Folder(str(run))


def _values(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    job = Job.load(write_job(folder, {**JOB, **changes}))
    return job.spec.model_dump(mode="json", by_alias=True)


def _stage(number: int) -> dict[str, Any]:
    return {"deepspeed": {"zero_optimization": {"stage": number}}}


CASES = [
    ([2, 1, 2, 1], _stage(1)),
    ([1, 2, 1, 2], _stage(3)),
    ([2, 1, 2], {**_stage(2), "objective": {"name": "kl_dro"}}),
    *(
        pytest.param(workers, _stage(stage), marks=pytest.mark.slow)
        for workers in ([2, 4, 1], [4, 1, 2, 4])
        for stage in (0, 1, 2, 3)
    ),
]


@pytest.mark.parametrize(("workers", "changes"), CASES)
def test_losses_and_samples_are_those_of_a_run_of_fixed_size(
    request: pytest.FixtureRequest, tmp_path: Path, workers: list[int], changes: dict[str, Any]
) -> None:
    fixed, _ = _trained(request, tmp_path / "fixed", [1], changes)
    resized, folder = _trained(request, tmp_path / "resized", workers, changes)
    assert len(resized.attempts) == len(workers)
    assert resized.samples == fixed.samples
    assert len(fixed.samples) == UPDATES
    assert resized.metrics.keys() == fixed.metrics.keys()
    for key, value in fixed.metrics.items():
        assert resized.metrics[key] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), key
    losses = fixed.curve("train/loss")
    assert losses[-1] < losses[0] - 0.1, "nothing was learned, so nothing is compared"
    checkpoint = CheckpointStore(folder).latest()
    assert checkpoint is not None
    assert checkpoint.world_size == workers[-1]


def test_a_run_keeps_its_updates_whatever_number_it_is_continued_with(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """178 samples in batches of 8: two are left, which would be too few for four workers."""
    changes: dict[str, Any] = {
        "data": {"source": "wine", "batch_size": 8},
        "training": {"epochs": 1, "record_samples": True},
        "metrics": [],
        "cluster": {"workers": 2},
    }
    fixed, _ = _trained(request, tmp_path / "fixed", [2], changes)
    assert len(fixed.samples) == 23
    run = tmp_path / "continued"
    run.mkdir()
    two, one = request.getfixturevalue("two_workers"), request.getfixturevalue("one_worker")
    assert two.run(_work, _values(tmp_path, changes), str(tmp_path), str(run), True) == [False] * 2
    more = _values(tmp_path, {**changes, "cluster": {"workers": [1, 4]}})
    assert one.run(_work, more, str(tmp_path), str(run), False) == [True]
    assert Story.of(run).samples == fixed.samples
