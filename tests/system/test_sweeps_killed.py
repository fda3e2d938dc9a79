"""Sweeps whose driver is killed, and those that keep everything elsewhere."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import psutil
import pytest
from chaos.servers import ObjectStore, store_environment
from driving import Driver, drive, living, start, wait_until, write_job
from sweeping import ASHA, BASE, SWEEP, children, sweep_in, trials_in

import trainwright
from trainwright.runs import list_runs
from trainwright.storage import Folder

pytestmark = pytest.mark.timeout(1200)


def until_some_ended(storage: Folder, driver: Driver, number: int) -> None:
    """Wait until so many trials have ended while the driver runs."""

    def enough() -> bool:
        assert driver.process.is_alive(), "it ended before"
        with_files = [f for f, r in list_runs(storage) if r.parent is None and f.exists("trials")]
        return bool(with_files) and sum(t.has_ended for t in trials_in(storage)) >= number

    wait_until(enough, what="the first trials")


@pytest.mark.slow
def test_kill_9_in_mid_sweep(tmp_path: Path) -> None:
    """What has ended is kept, the rest goes on; more trials continue it; fresh ones do not."""
    every = "20 epochs"
    training = {"epochs": 500, "evaluate_every": every, "checkpoint_every": every}
    values = {**SWEEP, "base": {**BASE, "training": training}, "trials": 12}
    job = write_job(tmp_path, {**values, "scheduler": {**ASHA, "grace": every}})
    storage = Folder(str(tmp_path / "runs"))
    driver = start(job)
    until_some_ended(storage, driver, 0)
    with pytest.raises(trainwright.InputError, match="is being run already"):
        trainwright.run(str(job))
    until_some_ended(storage, driver, 2)
    family = psutil.Process(driver.process.pid).children(recursive=True)
    driver.kill()
    driver.process.join(10)
    wait_until(lambda: not living(family), what="the end of the killed driver's processes")
    kept = {t.number: (t.run, t.state, t.step) for t in trials_in(storage) if t.has_ended}
    finished = {name: r.finished for name, r in children(storage).items() if r.status == "finished"}
    assert 2 <= len(kept) < 12
    assert drive(job) == 0
    after = trials_in(storage)
    assert {t.number: (t.run, t.state, t.step) for t in after if t.number in kept} == kept
    assert all(trial.has_ended for trial in after)
    records = children(storage)
    assert {name: records[name].finished for name in finished} == finished
    assert drive(job, "trials=13") == 0
    more = trials_in(storage)
    assert [t.assignment for t in more[:12]] == [t.assignment for t in after]
    assert len(more) == 13
    result = trainwright.run(str(job), overrides=["trials=13"])
    assert result.already_finished
    assert drive(job, fresh=True) == 0
    assert sweep_in(storage).name == f"{result.run}.2"
    assert len(children(storage)) == 13 + 12


@pytest.mark.slow
def test_on_s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trials, runs and results are objects; nothing is left on this machine."""
    import s3fs

    server = ObjectStore(tmp_path / "store")
    server.start()
    try:
        server.wait()
        for name, value in store_environment(server.uri).items():
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir("sweeps")
        values = {**SWEEP, "scheduler": ASHA, "trials": 4, "storage": "s3://sweeps/runs"}
        (tmp_path / "job").mkdir()
        assert drive(write_job(tmp_path / "job", values)) == 0
        storage = Folder("s3://sweeps/runs")
        assert {t.state for t in trials_in(storage)} <= {"finished", "stopped"}
        assert sweep_in(storage).exists("best.yaml")
        assert [path.name for path in (tmp_path / "job").iterdir()] == ["job.yaml"]
    finally:
        server.kill()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_mlflow_has_the_sweep_and_its_trials(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    values = {**SWEEP, "scheduler": ASHA, "tracking": {"uri": uri}}
    job = write_job(tmp_path, values)
    assert drive(job) == 0
    states = Counter(t.state for t in trials_in(Folder(str(tmp_path / "runs"))))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("pool")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1
    assert parents[0].info.status == "FINISHED"
    told = Counter(run.info.status for run in runs if run is not parents[0])
    assert told == {"FINISHED": states["finished"], "KILLED": states["stopped"]}
    assert {run.data.tags["mlflow.parentRunId"] for run in runs if run is not parents[0]} == {
        parents[0].info.run_id
    }


@pytest.mark.slow
def test_a_tracking_server_that_is_dead_is_a_remark(tmp_path: Path) -> None:
    values = {**SWEEP, "trials": 2, "tracking": {"uri": "http://127.0.0.1:9"}}
    job = write_job(tmp_path, values)
    assert drive(job) == 0
    result = trainwright.run(str(job))
    assert result.counts() == {"finished": 2}
