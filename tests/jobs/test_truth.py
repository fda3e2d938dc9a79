"""The true rankings of architectures are those of the jobs that make them."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from nas import truth

from trainwright.job import Job
from trainwright.orchestration.light import Errand, train_light
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.runs import RunRecord
from trainwright.search.plan import Plan, make_plan
from trainwright.storage import Folder

ROUNDING = 0.01
"""Processors add in other orders, which changes what is learnt by a few of 719 or 750 samples."""

Made = tuple[Plan, Path]


@pytest.fixture(scope="module", params=truth.JOBS, ids=lambda job: job.stem)
def made(request: pytest.FixtureRequest) -> Made:
    """What a job would train, and its table."""
    return make_plan(Job.load(request.param)), truth.table_of(request.param)


def test_the_table_has_all_trials_of_the_job(made: Made) -> None:
    plan, file = made
    wanted = {
        (tuple(value for name, value in trial.items() if name != "seed"), trial["seed"])
        for trial in plan.space.grid()
    }
    found = truth.read(file)
    assert {(path, seed) for path, values in found.items() for seed in values} == wanted
    assert len(found) == 64


def test_the_table_is_written_as_it_is_read(made: Made) -> None:
    _, file = made
    found = truth.read(file)
    lines, again = file.read_text().splitlines(), truth.table(found).splitlines()
    assert [line.split(",")[3:] for line in again] == [line.split(",")[3:] for line in lines]
    for line, values in zip(lines[1:], found.values(), strict=True):
        mean, spread = map(float, line.split(",")[1:3])
        assert mean == pytest.approx(statistics.fmean(values.values()), abs=2e-6)
        assert spread == pytest.approx(statistics.stdev(values.values()), abs=2e-6)


@pytest.mark.parametrize(("path", "seed"), [((0, 0, 0), 0), ((1, 3, 2), 3), ((3, 3, 3), 15)])
def test_the_table_is_fresh(made: Made, path: tuple[int, ...], seed: int, tmp_path: Path) -> None:
    plan, file = made
    changes = {"model.path": list(path), "seed": seed, "tracking.enabled": False}
    job = plan.jobs.make(changes).job
    folder = Folder(str(tmp_path / "run"))
    ended = train_light(Errand.of(job, folder, "truth", {}), LocalMonitor())
    assert ended.status == "finished", ended.error
    record = RunRecord.load(folder)
    assert record is not None
    found = record.metrics["validation/accuracy"]
    assert found == pytest.approx(truth.read(file)[path][seed], abs=ROUNDING), (
        "`make truth` renews it"
    )
