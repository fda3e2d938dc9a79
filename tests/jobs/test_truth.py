"""The true ranking of architectures is that of the job that makes it."""

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
"""Processors add in other orders, which changes what is learnt by a few of 719 images."""


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(Job.load(truth.JOB))


def test_the_table_has_all_trials_of_the_job(plan: Plan) -> None:
    wanted = {
        (tuple(value for name, value in trial.items() if name != "seed"), trial["seed"])
        for trial in plan.space.grid()
    }
    found = truth.read()
    assert {(path, seed) for path, values in found.items() for seed in values} == wanted
    assert len(found) == 64


def test_the_table_is_written_as_it_is_read() -> None:
    found = truth.read()
    lines, again = truth.TABLE.read_text().splitlines(), truth.table(found).splitlines()
    assert [line.split(",")[3:] for line in again] == [line.split(",")[3:] for line in lines]
    for line, values in zip(lines[1:], found.values(), strict=True):
        mean, spread = map(float, line.split(",")[1:3])
        assert mean == pytest.approx(statistics.fmean(values.values()), abs=2e-6)
        assert spread == pytest.approx(statistics.stdev(values.values()), abs=2e-6)


@pytest.mark.parametrize(("path", "seed"), [((0, 0, 0), 0), ((1, 3, 2), 3), ((3, 3, 3), 15)])
def test_the_table_is_fresh(plan: Plan, path: tuple[int, ...], seed: int, tmp_path: Path) -> None:
    changes = {"model.path": list(path), "seed": seed, "tracking.enabled": False}
    job = plan.jobs.make(changes).job
    folder = Folder(str(tmp_path / "run"))
    ended = train_light(Errand.of(job, folder, "truth", {}), LocalMonitor())
    assert ended.status == "finished", ended.error
    record = RunRecord.load(folder)
    assert record is not None
    found = record.metrics["validation/accuracy"]
    assert found == pytest.approx(truth.read()[path][seed], abs=ROUNDING), "`make truth` renews it"
