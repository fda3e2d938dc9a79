"""What counts as the same run: finished, edited, moved, started anew, continued longer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from driving import drive, write_job
from stories import Story, record_of, runs_in, the_run

from trainwright.errors import InputError
from trainwright.job import Job
from trainwright.orchestration.launch import run_job
from trainwright.orchestration.result import RunResult

LOSS = """
import torch
from torch import Tensor, nn


class Scaled(nn.Module):
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return FACTOR * nn.functional.cross_entropy(logits, target)
"""
JOB: dict[str, Any] = {
    "name": "named",
    "data": {"source": "wine", "batch_size": 32, "validation": 0.2},
    "data.transforms": ["standardize"],
    "model": {"name": "mlp", "hidden": [8]},
    "objective": "loss.py:Scaled",
    "optimizer": {"name": "adamw", "lr": 0.003},
    "training": {"epochs": 2, "record_samples": True},
    "metrics": ["accuracy"],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.fixture
def job(tmp_path: Path) -> Path:
    (tmp_path / "loss.py").write_text(LOSS.replace("FACTOR", "1.0"))
    return write_job(tmp_path, JOB)


def run(job: Path, *overrides: str, **options: Any) -> RunResult:
    return run_job(Job.load(job, [f"storage={job.parent}/runs", *overrides]), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_finished_run_says_so_and_is_not_touched(job: Path) -> None:
    first = run(job)
    assert (first.status, first.already_finished) == ("finished", False)
    before = contents(job.parent / "runs")
    shown: list[Any] = []
    again = run(job, show=shown.append, started=shown.append)
    assert (again.status, again.already_finished) == ("finished", True)
    assert (again.run, again.metrics, again.steps) == (first.run, first.metrics, first.steps)
    assert shown == []
    assert contents(job.parent / "runs") == before


def test_where_it_runs_and_is_recorded_does_not_enter_the_name(job: Path, cluster: None) -> None:
    name = run(job).run
    for change in (
        "cluster.workers=2",
        "cluster.cpus_per_worker=0.25",
        "cluster.max_failures=0",
        "tracking.enabled=true",
        "tracking.experiment=other",
        "training.checkpoint_every=1 steps",
        "training.keep.last=5",
        "training.record_samples=false",
        "version=1",
    ):
        again = run(job, change)
        assert (again.run, again.already_finished) == (name, True), change
    moved = run(job, f"storage={job.parent}/elsewhere")
    assert (moved.run, moved.already_finished) == (name, False)


@pytest.mark.parametrize(
    "change",
    [
        "seed=1",
        "data.batch_size=16",
        "data.validation=0.25",
        "model.hidden=[9]",
        "optimizer.lr=0.01",
        "training.epochs=3",
        "training.precision=bf16",
        "training.max_grad_norm=1.0",
        "strategies=[early_stopping]",
        "objective=cross_entropy",
        "schedule=cosine",
    ],
)
def test_what_decides_the_numbers_does(job: Path, change: str) -> None:
    from trainwright.orchestration.prepare import prepare

    assert prepare(Job.load(job, [change])).name != prepare(Job.load(job)).name


def test_an_edited_loss_is_a_new_run(job: Path) -> None:
    """In one process, as in a notebook: the new text is what trains, the old run stays."""
    first = run(job)
    (job.parent / "loss.py").write_text(LOSS.replace("FACTOR", "3.0"))
    second = run(job)
    assert second.run != first.run
    assert not second.already_finished
    curves = [Story.of(job.parent / "runs" / r.run).curve("train/loss") for r in (first, second)]
    assert curves[1][0] == pytest.approx(3 * curves[0][0], rel=1e-5)
    (job.parent / "loss.py").write_text(LOSS.replace("FACTOR", "1.0"))
    third = run(job)
    assert (third.run, third.already_finished) == (first.run, True)


def test_an_edited_loss_is_a_new_run_for_another_process(job: Path) -> None:
    assert drive(job, "storage=runs") == 0
    (job.parent / "loss.py").write_text(LOSS.replace("FACTOR", "3.0"))
    assert drive(job, "storage=runs") == 0
    assert len(runs_in(job.parent / "runs")) == 2


def test_a_file_that_the_loss_imports_counts_too(job: Path) -> None:
    (job.parent / "loss.py").write_text(
        "from factors import FACTOR\n" + LOSS,
    )
    (job.parent / "factors.py").write_text("FACTOR = 1.0\n")
    assert drive(job, "storage=runs") == 0
    (job.parent / "factors.py").write_text("FACTOR = 2.0\n")
    assert drive(job, "storage=runs") == 0
    assert len(runs_in(job.parent / "runs")) == 2


def test_fresh_stands_beside_the_first(job: Path) -> None:
    first = run(job)
    before = contents(job.parent / "runs" / first.run)
    second = run(job, fresh=True)
    assert second.run == f"{first.run}.2"
    assert not second.already_finished
    assert contents(job.parent / "runs" / first.run) == before
    stories = [Story.of(job.parent / "runs" / name) for name in (first.run, second.run)]
    assert stories[0].metrics == stories[1].metrics
    assert run(job).run == second.run, "the same command goes on with the newest"
    assert run(job, fresh=True).run == f"{first.run}.3"


@pytest.fixture
def finished(job: Path) -> Iterator[RunResult]:
    return run(job)


def test_resume_continues_for_longer(job: Path, finished: RunResult) -> None:
    before = contents(job.parent / "runs" / finished.run)
    longer = run(job, "training.epochs=4", resume=finished.run)
    assert longer.run != finished.run
    assert longer.steps == 2 * finished.steps
    assert record_of(job.parent / "runs" / longer.run).resumed_from == (
        f"{finished.run}@{finished.steps}"
    )
    story = Story.of(job.parent / "runs" / longer.run)
    assert sorted(story.samples) == list(range(finished.steps + 1, longer.steps + 1))
    assert contents(job.parent / "runs" / finished.run) == before

    whole = run(job, "training.epochs=4", f"storage={job.parent}/whole")
    other = Story.of(the_run(job.parent / "whole"))
    assert {key: other.metrics[key] for key in story.metrics} == story.metrics
    assert whole.metrics == longer.metrics


def test_resume_again_is_the_same_run(job: Path, finished: RunResult) -> None:
    longer = run(job, "training.epochs=4", resume=finished.run)
    again = run(job, "training.epochs=4", resume=finished.run)
    assert (again.run, again.already_finished) == (longer.run, True)


def test_resume_refuses_by_name_what_cannot_change(job: Path, finished: RunResult) -> None:
    with pytest.raises(InputError) as caught:
        run(
            job,
            "training.epochs=4",
            "model.hidden=[16]",
            "optimizer.name=sgd",
            "data.batch_size=16",
            resume=finished.run,
        )
    refused = {problem.path for problem in caught.value.problems}
    assert refused == {"model.hidden", "optimizer.name", "data.batch_size"}
    assert finished.run in str(caught.value)
    assert [path.name for path in runs_in(job.parent / "runs")] == [finished.run]


def test_resume_of_a_run_that_is_not_there_names_the_nearest(
    job: Path, finished: RunResult
) -> None:
    with pytest.raises(InputError) as caught:
        run(job, "training.epochs=4", resume=finished.run.replace("named", "nmaed"))
    assert caught.value.problems[0].nearest == finished.run


def test_resume_refuses_an_edited_loss(job: Path, finished: RunResult) -> None:
    """The file's content is part of the job: silently training on with another loss is wrong."""
    (job.parent / "loss.py").write_text(LOSS.replace("FACTOR", "3.0"))
    with pytest.raises(InputError, match=r"loss\.py was edited since named-"):
        run(job, "training.epochs=4", resume=finished.run)


def test_resume_refuses_other_samples_in_the_same_place(job: Path) -> None:
    values = {**JOB, "data.source": "table.csv", "data.transforms": []}
    values["data.columns"] = {
        "features": {"type": "vector", "from": ["a", "b"]},
        "target": {"type": "class", "from": "y"},
    }
    rows = [f"{i % 7},{i % 5},{i % 2}" for i in range(100)]
    (job.parent / "table.csv").write_text("\n".join(["a,b,y", *rows]))
    job = write_job(job.parent, values)
    first = run(job)
    (job.parent / "table.csv").write_text("\n".join(["a,b,y", *reversed(rows)]))
    with pytest.raises(InputError) as caught:
        run(job, "training.epochs=4", resume=first.run)
    assert [problem.path for problem in caught.value.problems] == ["data.source"]
