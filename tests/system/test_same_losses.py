"""One job gives one loss curve: at every ZeRO stage, on any number of workers, in process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driving import write_job
from stories import Story, the_run

from trainwright.job import Job
from trainwright.orchestration.launch import run_job
from trainwright.orchestration.result import RunResult

TOLERANCE = 1e-5
STAGES = (0, 1, 2, 3)
JOB = {
    "name": "same",
    "data": {"source": "digits", "batch_size": 96, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [48]},
    "objective": "cross_entropy",
    "strategies": [],
    "optimizer": {"name": "adamw", "lr": 0.01},
    "schedule": {"name": "cosine", "warmup": 0.1},
    "training": {
        "epochs": 2,
        "evaluate_every": "8 steps",
        "record_samples": True,
        "max_grad_norm": 0.5,
    },
    "metrics": ["accuracy"],
    "cluster": {"workers": 0, "cpus_per_worker": 0.5},
    "tracking": {"enabled": False},
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The run in this process."""
    folder = tmp_path_factory.mktemp("reference")
    run_job(Job.load(write_job(folder, JOB), [f"storage={folder}/runs"]))
    story = Story.of(the_run(folder / "runs"))
    losses = story.curve("train/loss")
    assert len(losses) == 30
    assert losses[-1] < losses[0] / 2, "nothing was learned, so nothing is compared"
    assert max(story.curve("train/grad_norm")) > 0.5, "clipping never took part"
    return story


def assert_same(story: Story, reference: Story) -> None:
    assert story.metrics.keys() == reference.metrics.keys()
    assert story.samples == reference.samples
    for key, value in reference.metrics.items():
        assert story.metrics[key] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), key


def on_ray(folder: Path, workers: int, stage: int, **changes: Any) -> RunResult:
    values = {
        **JOB,
        "deepspeed": {"zero_optimization": {"stage": stage}},
        "cluster": {"workers": workers, "cpus_per_worker": 0.5},
        **changes,
    }
    return run_job(Job.load(write_job(folder, values), [f"storage={folder}/runs"]))


FAST_ON_RAY = [(2, 1)]
SLOW_ON_RAY = [(w, s) for w in (1, 2, 4) for s in STAGES if (w, s) not in FAST_ON_RAY]


@pytest.mark.parametrize(
    ("workers", "stage"),
    [*FAST_ON_RAY, *(pytest.param(w, s, marks=pytest.mark.slow) for w, s in SLOW_ON_RAY)],
)
def test_on_ray(cluster: None, reference: Story, tmp_path: Path, workers: int, stage: int) -> None:
    result = on_ray(tmp_path, workers, stage)
    assert result.status == "finished"
    assert_same(Story.of(the_run(tmp_path / "runs")), reference)
    final = {name: value for (name, step), value in reference.metrics.items() if step == 30}
    assert result.metrics == pytest.approx(
        {k: v for k, v in final.items() if k == "train/loss" or k.startswith("validation/")},
        abs=TOLERANCE,
    )


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("size", "micro_batch_size"),
    [
        *((size, None) for size in (1, 2)),
        (2, 7),
        pytest.param(4, None, marks=pytest.mark.slow),
        pytest.param(1, 7, marks=pytest.mark.slow),
        pytest.param(4, 7, marks=pytest.mark.slow),
    ],
)
def test_in_bare_process_groups(
    request: pytest.FixtureRequest,
    reference: Story,
    tmp_path: Path,
    size: int,
    stage: int,
    micro_batch_size: int | None,
) -> None:
    """The workers' own code without Ray around it, with and without accumulation."""
    name = {1: "one_worker", 2: "two_workers", 4: "four_workers"}[size]
    workers = request.getfixturevalue(name)
    values = {
        **JOB,
        "engine": "deepspeed",
        "deepspeed": {"zero_optimization": {"stage": stage}},
        "cluster": {"workers": size},
    }
    values["training"] = {**JOB["training"], "micro_batch_size": micro_batch_size}
    job = Job.load(write_job(tmp_path, values))
    run = tmp_path / "runs" / "run"
    run.mkdir(parents=True)
    workers.run(_work, job.spec.model_dump(mode="json", by_alias=True), str(tmp_path), str(run))
    assert_same(Story.of(run), reference)


def _work(job: dict[str, Any], base: str, run: str) -> None:
    from trainwright.training.worker import WorkOrder, work

    work(WorkOrder(job=job, base=base, run_url=run), None)


@pytest.mark.parametrize("micro_batch_size", [1, 13, 96])
def test_accumulation_in_this_process(
    reference: Story, tmp_path: Path, micro_batch_size: int
) -> None:
    values = {**JOB, "training": {**JOB["training"], "micro_batch_size": micro_batch_size}}
    run_job(Job.load(write_job(tmp_path, values)))
    assert_same(Story.of(the_run(tmp_path / "runs")), reference)


@pytest.mark.parametrize("evaluation_batch_size", [1, 50, 1000])
def test_the_size_of_evaluation_batches_does_not_matter(
    reference: Story, tmp_path: Path, evaluation_batch_size: int
) -> None:
    training = {**JOB["training"], "evaluation_batch_size": evaluation_batch_size}
    run_job(Job.load(write_job(tmp_path, {**JOB, "training": training})))
    assert_same(Story.of(the_run(tmp_path / "runs")), reference)


@pytest.mark.slow
def test_accumulation_on_ray(cluster: None, reference: Story, tmp_path: Path) -> None:
    on_ray(tmp_path, 2, 3, training={**JOB["training"], "micro_batch_size": 11})
    assert_same(Story.of(the_run(tmp_path / "runs")), reference)


def test_one_number_is_enough_to_tell_two_runs_apart(reference: Story, tmp_path: Path) -> None:
    """The comparison itself can fail: another seed and another rate are noticed."""
    run_job(Job.load(write_job(tmp_path, JOB), ["optimizer.lr=0.0101"]))
    with pytest.raises(AssertionError):
        assert_same(Story.of(the_run(tmp_path / "runs")), reference)
