"""Comparisons on Ray and after kill -9: the same numbers as in one process, nothing done twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from driving import start, write_job

import trainwright
from trainwright.runs import RunRecord, list_runs
from trainwright.storage import Folder

COMPARE: dict[str, Any] = {
    "kind": "compare",
    "name": "pool",
    "base": {
        "data": {"source": "digits", "batch_size": 128, "validation": 0.3},
        "model": {"name": "mlp", "hidden": [16], "dropout": 0.2},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "training": {"epochs": 8, "checkpoint_every": "1 epoch"},
        "metrics": ["accuracy"],
    },
    "variants": {"baseline": {}, "method": {"optimizer.lr": 0.5}},
    "seeds": 3,
    "expect": ["mean(train/loss, method) < mean(train/loss, baseline)"],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The comparison undisturbed, in this process."""
    return trainwright.run({**COMPARE, "storage": str(tmp_path_factory.mktemp("calm"))})


def values_of(result: Any) -> dict[tuple[str, str], dict[int, float]]:
    return {(row.quantity, row.variant): row.values for row in result.rows}


@pytest.mark.usefixtures("cluster")
class TestOnRay:
    def test_two_actors_give_the_numbers_of_one_process(self, calm: Any) -> None:
        result = trainwright.run({**COMPARE, "cluster": {"workers": 2, "cpus_per_worker": 0.5}})
        assert result.status == "finished"
        assert values_of(result) == values_of(calm)
        records = [r for _, r in list_runs(Folder("runs")) if r.parent is not None]
        assert len({r.driver["pid"] for r in records}) == 2, "six runs on two processes"
        assert os.getpid() not in {r.driver["pid"] for r in records}

    @pytest.mark.slow
    def test_a_killed_actor_is_replaced_and_its_run_goes_on(self, calm: Any) -> None:
        killed: list[int] = []

        def watch(progress: dict[str, Any]) -> None:
            for name, run in progress["runs"].items():
                record = RunRecord.load(Folder("runs") / name)
                if not killed and run["state"] == "running" and record and run["step"] > 150:
                    killed.append(record.driver["pid"])
                    os.kill(killed[0], signal.SIGKILL)

        training = {"epochs": 120, "checkpoint_every": "100 steps", "evaluate_every": "30 epochs"}
        longer = {**COMPARE["base"], "training": training}
        values = {**COMPARE, "base": longer, "seeds": 1, "expect": []}
        result = trainwright.run({**values, "cluster": {"workers": 1}}, progress=watch)
        assert killed
        assert result.status == "finished"
        undisturbed = trainwright.run({**values, "storage": "undisturbed"})
        assert values_of(result) == values_of(undisturbed)

    @pytest.mark.slow
    def test_stopped_and_continued(self, calm: Any) -> None:
        values = {**COMPARE, "cluster": {"workers": 1}}
        asked: list[str] = []

        def watch(progress: dict[str, Any]) -> None:
            states = [run["state"] for run in progress["runs"].values()]
            if not asked and "finished" in states and "running" in states:
                asked.append("stop")
                os.kill(os.getpid(), signal.SIGINT)

        with pytest.raises(trainwright.Interrupted, match="of 6 runs finished"):
            trainwright.run(values, progress=watch)
        assert values_of(trainwright.run(values)) == values_of(calm)

    @pytest.mark.slow
    def test_a_variant_with_workers_of_its_own(self) -> None:
        values = {**COMPARE, "seeds": 1, "expect": ["mean(validation/accuracy, method) > 0.5"]}
        values["variants"] = {"baseline": {}, "method": {"cluster.workers": 2, "optimizer.lr": 0.5}}
        values["cluster"] = {"workers": 1, "cpus_per_worker": 0.5}
        alone = {"workers": 0, "cpus_per_worker": 0.5}
        values["base"] = {**COMPARE["base"], "cluster": alone}
        result = trainwright.run(values)
        assert result.exit_status == 0
        method = next(cost for cost in result.costs if cost.variant == "method")
        assert (Path("runs") / method.runs[0] / "logs" / "worker-1.log").exists()
        record = RunRecord.load(Folder("runs") / method.runs[0])
        assert record is not None
        assert record.parent == result.run


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_kill_9_keeps_what_is_finished_and_continues_the_rest(
    workers: int, tmp_path: Path, calm: Any
) -> None:
    pool = {"workers": workers, "cpus_per_worker": 0.5}
    job = write_job(tmp_path, {**COMPARE, "cluster": pool})
    driver = start(job)
    storage = Folder(str(tmp_path / "runs"))

    def finished() -> dict[str, float | None]:
        found = [r for _, r in list_runs(storage) if r.parent and r.status == "finished"]
        return {record.name: record.finished for record in found}

    deadline = time.monotonic() + 120
    while len(finished()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    driver.kill()
    driver.process.join(10)
    kept = finished()
    assert 2 <= len(kept) < 6
    assert start(job).wait() == 0
    assert {name: when for name, when in finished().items() if name in kept} == kept
    result = trainwright.run(job)
    assert result.already_finished
    assert values_of(result) == values_of(calm)


def test_two_at_once_do_not_train_the_same_run(tmp_path: Path) -> None:
    """The second is refused while the first lives, with the process that has the run."""
    job = write_job(tmp_path, COMPARE)
    seen = threading.Event()
    driver = start(job)
    storage = Folder(str(tmp_path / "runs"))
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not seen.is_set():
        records = [r for _, r in list_runs(storage) if r.parent is None]
        if records and records[0].driver:
            seen.set()
    with pytest.raises(trainwright.InputError, match="is being run already"):
        trainwright.run(job)
    assert driver.wait() == 0
