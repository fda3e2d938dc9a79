"""Federations whose clients train in resident processes on Ray: equal results, and losses."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import KILLED, living, start, wait_until, write_job
from federations import values_of
from stories import Story, assert_same_run, record_of, runs_in, the_run

import trainwright
from trainwright.errors import RunError

pytestmark = pytest.mark.usefixtures("cluster")
PLUGIN = Path(__file__).parent / "plugins" / "watched_average.py"
WORKERS = {"workers": 2, "cpus_per_worker": 0.5}


def federation(folder: Path, **sections: Any) -> Path:
    """A job, and beside it the plugin that carries out orders."""
    (folder / "orders").mkdir(parents=True, exist_ok=True)
    (folder / PLUGIN.name).write_bytes(PLUGIN.read_bytes())
    aggregator = {"name": f"{PLUGIN.name}:WatchedAverage", "orders": str(folder / "orders")}
    given = {"federation__aggregator": aggregator, "federation__bins": 4, "cluster": WORKERS}
    return write_job(folder, values_of(**{**given, **sections}))


def run(job: Path, storage: Path, cluster: Mapping[str, Any] = WORKERS) -> Path:
    """Run a job with its clients in these processes; the run's folder."""
    overrides = [f"cluster.{name}={value}" for name, value in cluster.items()]
    trainwright.run(job, overrides=[f"storage={storage}", *overrides])
    return the_run(storage)


def pids(folder: Path) -> set[int]:
    """The processes in which clients have trained so far."""
    return {int(file.name.partition("-")[2]) for file in (folder / "orders").glob("pid-*")}


EVERYTHING = {
    "federation__aggregator": "scaffold",
    "federation__decomposition": True,
    "federation__client_evaluation": {"held_out": 0.2, "personalise": {"steps": 2}},
    "federation__update_transforms": [{"name": "quantize", "bits": 4}],
    "federation__sampling": {"dropout": 0.2},
    "metrics": ["accuracy"],
}


class TestWorkers:
    @pytest.mark.slow
    def test_results_do_not_depend_on_their_number(self, tmp_path: Path) -> None:
        job = federation(tmp_path, **EVERYTHING)
        alone = run(job, tmp_path / "0", {"workers": 0})
        for number, cpus in ((1, 1), (2, 0.5), (4, 0.25)):
            cluster = {"workers": number, "cpus_per_worker": cpus}
            assert_same_run(run(job, tmp_path / str(number), cluster), alone)

    @pytest.mark.slow
    def test_nor_where_clients_keep_their_batch_normalisation(self, tmp_path: Path) -> None:
        job = federation(
            tmp_path,
            federation__aggregator="fedbn",
            model={"name": "mlp", "hidden": [8], "batch_norm": True, "dropout": 0.2},
        )
        alone = run(job, tmp_path / "0", {"workers": 0})
        assert_same_run(run(job, tmp_path / "2"), alone)

    @pytest.mark.slow
    def test_clients_train_in_all_of_them_and_they_end_with_the_run(self, tmp_path: Path) -> None:
        job = federation(tmp_path)
        run(job, tmp_path / "runs")
        assert len(pids(tmp_path)) == 2
        wait_until(lambda: not _alive(pids(tmp_path)), what="the end of the residents")


class TestLosses:
    @pytest.fixture
    def undisturbed(self, tmp_path: Path) -> Path:
        return run(federation(tmp_path), tmp_path / "calm", {"workers": 0})

    def test_a_lost_process_is_replaced(self, tmp_path: Path, undisturbed: Path) -> None:
        (tmp_path / "orders" / "kill-1-").touch()
        lost = run(federation(tmp_path), tmp_path / "runs")
        assert_same_run(lost, undisturbed)
        told = [event for event in Story.of(lost).events if "was lost and is replaced" in event]
        assert len(told) == 1
        assert len(pids(tmp_path)) == 3

    @pytest.mark.slow
    def test_too_many_end_the_run_which_can_be_continued(
        self, tmp_path: Path, undisturbed: Path
    ) -> None:
        job = federation(tmp_path, federation__checkpoint_every=1)
        for number in range(2):
            (tmp_path / "orders" / f"kill-1-{number}").touch()
        message = r"2 processes that train clients were lost in one round.*max_failures is 1"
        with pytest.raises(RunError, match=message):
            run(job, tmp_path / "runs", {**WORKERS, "max_failures": 1})
        assert record_of(the_run(tmp_path / "runs")).status == "failed"
        assert_same_run(run(job, tmp_path / "runs"), undisturbed)

    @pytest.mark.slow
    def test_a_plugin_that_fails_is_named(self, tmp_path: Path) -> None:
        job = federation(tmp_path)
        (tmp_path / "orders" / "fail-1-").touch()
        with pytest.raises(RunError, match=r"ValueError: client \d will not") as caught:
            run(job, tmp_path / "runs")
        assert PLUGIN.name in str(caught.value), "the traceback leads to the file"

    @pytest.mark.slow
    def test_a_dead_driver_leaves_nothing_behind(self, tmp_path: Path, undisturbed: Path) -> None:
        import ray

        job, hold = federation(tmp_path), tmp_path / "orders" / "hold-1-"
        hold.touch()
        address = ray.get_runtime_context().gcs_address
        storage = tmp_path / "runs"
        driver = start(job, [f"storage={storage}", f"cluster.address={address}"])
        wait_until((tmp_path / "orders" / "holding").exists, what="clients to train")
        driver.kill()
        assert driver.wait() == KILLED
        residents = pids(tmp_path)
        assert len(residents) == 2
        wait_until(lambda: not _alive(residents), what="the end of the residents")
        hold.unlink()
        assert len(runs_in(storage)) == 1
        assert_same_run(run(job, storage), undisturbed)


def _alive(numbers: set[int]) -> list[psutil.Process]:
    """Those processes that still run."""
    found = []
    for number in numbers:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(number))
    return living(found)
