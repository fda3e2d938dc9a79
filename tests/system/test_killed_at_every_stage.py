"""Workers and drivers killed at random moments, at every ZeRO stage: nothing differs by a bit."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import chaos
import pytest
import ray
from chaos.servers import Database, make_database
from chaos.trace import Trace, different_losses, epochs_off, gaps, samples_off, server_gaps
from driving import KILLED, Driver, start, wait_until, write_job
from stories import assert_same_run, record_of, the_run

from trainwright.job import Job
from trainwright.orchestration.launch import run_job
from trainwright.storage import Folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

PACE = Path(str(chaos.__file__)).parent / "pace.py"
STEPS = 90
FAULTS = ("worker", "driver", "worker", "driver")


class Scene:
    """A job at one ZeRO stage with all kinds of state, and its undisturbed run."""

    def __init__(self, folder: Path, stage: int, database: Database) -> None:
        self.database = database
        self.pace = folder / "pace"
        self.pace.mkdir(parents=True)
        (folder / "pace.py").write_bytes(PACE.read_bytes())
        self.job = write_job(folder, self._values(stage))
        calm = [f"storage={folder}/calm", "tracking.enabled=false", "strategies.1.step_s=0"]
        run_job(Job.load(self.job, calm))
        self.calm = the_run(folder / "calm")
        for file in self.pace.iterdir():
            file.unlink()

    def _values(self, stage: int) -> dict[str, Any]:
        return {
            "name": "stage",
            "data": {"source": "digits", "batch_size": 96, "validation": 0.2},
            "data.transforms": [{"name": "random_crop", "padding": 1}],
            "model": {"name": "convnet", "width": 4, "dropout": 0.3},
            "objective": {"name": "z_loss", "a": 2.0, "b": 2.0},
            "strategies": [
                {"name": "multi_sample_dropout", "num_samples": 2},
                {"name": "pace.py:Pace", "folder": str(self.pace), "step_s": 0.05},
            ],
            "optimizer": {"name": "adamw", "lr": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "training": {
                "steps": STEPS,
                "evaluate_every": "8 steps",
                "checkpoint_every": "5 steps",
                "max_grad_norm": 1.0,
                "record_samples": True,
            },
            "metrics": ["accuracy"],
            "deepspeed": {"zero_optimization": {"stage": stage}},
            "cluster": {
                "workers": 2,
                "cpus_per_worker": 0.5,
                "max_failures": 10,
                "address": ray.get_runtime_context().gcs_address,
            },
            "tracking": {"uri": self.database.uri, "system_metrics": False},
        }

    def step(self) -> int:
        """The last update that was trained."""
        lines = self._lines("steps")
        return int(lines[-1].split()[1]) if lines else 0

    def workers(self) -> dict[int, int]:
        """Process of each rank."""
        pairs = [line.split() for line in self._lines("workers")]
        return {int(rank): int(pid) for rank, pid in pairs}

    def _lines(self, name: str) -> list[str]:
        file = self.pace / name
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    make_database(path)
    return path


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_killed_at_random_moments(
    cluster: None, tmp_path: Path, template: Path, stage: int
) -> None:
    shutil.copy(template, tmp_path / "mlflow.db")
    scene = Scene(tmp_path / "job", stage, Database(tmp_path / "mlflow.db"))
    storage = tmp_path / "runs"
    rng = random.Random(stage)
    driver = start(scene.job, [f"storage={storage}"])
    for number, fault in enumerate(FAULTS):
        target = STEPS * number // len(FAULTS) + rng.randint(3, STEPS // len(FAULTS) - 3)
        wait_until(lambda: scene.step() >= target or _has_ended(driver), what="updates")  # noqa: B023
        assert not _has_ended(driver)
        time.sleep(rng.uniform(0, 0.2))
        reached = scene.step()
        if fault == "driver":
            driver.kill()
            assert driver.wait() == KILLED
            driver = start(scene.job, [f"storage={storage}"])
        else:
            os.kill(rng.choice(list(scene.workers().values())), signal.SIGKILL)
        wait_until(lambda: scene.step() > reached or _has_ended(driver), what="more")  # noqa: B023
    assert driver.wait() == 0
    _assert_nothing_is_lost(scene, the_run(storage))


def _has_ended(driver: Driver) -> bool:
    return driver.process.exitcode is not None


def _assert_nothing_is_lost(scene: Scene, run: Path) -> None:
    assert_same_run(run, scene.calm)
    own, calm = Trace.of(Folder(str(run))), Trace.of(Folder(str(scene.calm)))
    steps = range(STEPS + 1)
    digits = {sample for told in calm.samples.values() for ids in told for sample in ids}
    assert calm.last_step == STEPS
    assert len(list((run / "journal").glob("attempt-*"))) >= len(FAULTS) + 1
    assert list(different_losses(own, calm)) == []
    assert samples_off(own, calm, steps) == (0, 0)
    assert epochs_off(own, num_samples=len(digits)) == (0, 0)
    assert gaps(own, calm, steps) == 0
    assert server_gaps(scene.database.values(), own, steps) == 0
    assert len(scene.database.values()) == len(own.metrics), "a number was sent twice"
    assert [status for _, _, status in scene.database.runs()] == ["FINISHED"]
    assert record_of(run).status == "finished"
