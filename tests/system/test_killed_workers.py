"""Two Ray workers: workers and drivers that are killed or stopped; the same command ends it."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from driving import KILLED, Command, end_all, living, wait_until, write_job
from stories import Story, assert_same_run, record_of, the_run

from trainwright.errors import RunError
from trainwright.job import Job
from trainwright.orchestration.launch import run_job

pytestmark = pytest.mark.timeout(1200)

SABOTEUR = Path(__file__).parent / "plugins" / "saboteur.py"


class Scene:
    """A job on two workers with all kinds of state, and its undisturbed run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.orders = folder / "orders"
        self.orders.mkdir()
        (folder / "saboteur.py").write_bytes(SABOTEUR.read_bytes())
        self.job = write_job(folder, self._values())
        run_job(Job.load(self.job, [f"storage={folder}/undisturbed"]))
        self.undisturbed = the_run(folder / "undisturbed")

    def _values(self) -> dict[str, Any]:
        return {
            "name": "workers",
            "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
            "model": {"name": "convnet", "width": 4, "dropout": 0.3},
            "objective": {"name": "z_loss", "a": 2.0, "b": 2.0},
            "strategies": [
                {"name": "multi_sample_dropout", "num_samples": 4},
                {"name": "ghost_batch_norm", "ghost_batch_size": 32},
                {"name": "early_stopping", "patience": 3, "min_delta": 0.05},
                {"name": "saboteur.py:Saboteur", "orders": str(self.orders)},
            ],
            "optimizer": {"name": "adamw", "lr": 0.03},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "training": {
                "epochs": 6,
                "evaluate_every": "4 steps",
                "checkpoint_every": "3 steps",
                "max_grad_norm": 1.0,
                "monitor": "validation/accuracy",
                "record_samples": True,
            },
            "metrics": ["accuracy"],
            "deepspeed": {"zero_optimization": {"stage": 2}},
            "cluster": {"workers": 2, "cpus_per_worker": 0.5, "max_failures": 3},
            "tracking": {"enabled": False},
        }

    def order(self, *orders: str) -> None:
        for order in orders:
            (self.orders / order).touch()

    def withdraw(self, order: str) -> None:
        """Let a held worker go on."""
        (self.orders / order).unlink()
        (self.orders / "holding").unlink()

    @property
    def is_holding(self) -> bool:
        return (self.orders / "holding").exists()

    def command(self, storage: Path, address: str = "local") -> Command:
        """The command of this job, on a cluster of its own or on one that is there."""
        places = (f"storage={storage}", f"cluster.address={address}")
        overrides = (part for place in places for part in ("-s", place))
        return Command("run", self.job, *overrides, folder=self.folder)

    def assert_undisturbed(self, storage: Path) -> None:
        assert list(self.orders.iterdir()) == []
        assert_same_run(the_run(storage), self.undisturbed)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture
def family() -> Iterator[list[psutil.Process]]:
    """Processes of a killed driver, whose end a test must see to if they do not."""
    processes: list[psutil.Process] = []
    yield processes
    end_all(processes)


def test_the_undisturbed_run_stopped_early(scene: Scene) -> None:
    story = Story.of(scene.undisturbed)
    assert 30 < record_of(scene.undisturbed).steps < 72
    assert story.attempts == [1]


@pytest.mark.parametrize(
    "orders",
    [
        ("state_dict-8-0",),
        # Before there is any checkpoint, then while one is taken.
        pytest.param(("loss-1-1", "state_dict-8-0"), marks=pytest.mark.slow),
        pytest.param(
            ("evaluation-11-1", "epoch_end-11-0", "gradients-13-1"), marks=pytest.mark.slow
        ),
        pytest.param(("writing-2-0", "evaluated-7-0", "updated-20-1"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_killed_workers_are_restarted_within_one_command(
    scene: Scene, tmp_path: Path, orders: tuple[str, ...]
) -> None:
    scene.order(*orders)
    remarks: set[str] = set()
    result = run_job(
        Job.load(scene.job, [f"storage={tmp_path}"]),
        show=lambda progress: remarks.add(str(progress.get("remark", ""))),
    )
    assert result.status == "finished"
    scene.assert_undisturbed(tmp_path)
    told = [remark for remark in remarks if "killed by signal 9 (SIGKILL)" in remark]
    assert told
    assert all(re.match(r"worker [01] \(process \d+ on .*\) was lost: ", text) for text in told)
    assert all(text.endswith("; restarting from the last checkpoint") for text in told)
    assert len(list((the_run(tmp_path) / "journal").iterdir())) == len(orders) + 1


@pytest.mark.slow
def test_a_hanging_worker_is_named_ended_and_restarted(scene: Scene, tmp_path: Path) -> None:
    """Here before there is any checkpoint."""
    scene.order("hold-1-1")
    remarks: set[str] = set()

    def show(progress: Mapping[str, Any]) -> None:
        remark = str(progress.get("remark", ""))
        if "made no progress" in remark and remark not in remarks:
            scene.withdraw("hold-1-1")
        remarks.add(remark)

    overrides = [f"storage={tmp_path}", "cluster.hang_timeout_s=15"]
    assert run_job(Job.load(scene.job, overrides), show=show).status == "finished"
    (told,) = (remark for remark in remarks if "made no progress" in remark)
    assert re.match(r"worker 1 made no progress for 1\d s and stood at saboteur.py:\d+ in", told)
    assert "worker 0 made no progress" not in told
    assert told.endswith("; restarting from the last checkpoint")
    assert "in _hold" in (the_run(tmp_path) / "logs" / "worker-1.log").read_text()
    scene.assert_undisturbed(tmp_path)


@pytest.mark.slow
def test_workers_lost_too_often_fail_the_run(scene: Scene, tmp_path: Path) -> None:
    scene.order("loss-1-1", "loss-4-0")
    job = Job.load(scene.job, [f"storage={tmp_path}", "cluster.max_failures=1"])
    with pytest.raises(RunError, match=r"was lost.* 1 restart did not help.*max_failures is 1"):
        run_job(job)
    assert record_of(the_run(tmp_path)).status == "failed"
    assert run_job(job).status == "finished"
    scene.assert_undisturbed(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["there", "local"])
def test_stopped_then_killed_driver(
    scene: Scene, tmp_path: Path, family: list[psutil.Process], place: str
) -> None:
    """Kill -9, then the same command while orphans may still train; locally after a stop."""
    address = ray.get_runtime_context().gcs_address if place == "there" else "local"
    step = _stop_by(signal.SIGINT, scene, tmp_path, address) if place == "local" else 5

    scene.order(f"hold-{step + 2}-0")
    killed = scene.command(tmp_path, address)
    killed.until(lambda: scene.is_holding, "it reached the update")
    family += killed.family()
    assert place == "there" or len(family) > 5, "Ray's processes are its children"
    killed.send(signal.SIGKILL)
    assert killed.wait() == KILLED
    scene.withdraw(f"hold-{step + 2}-0")

    assert scene.command(tmp_path, address).wait() == 0
    scene.assert_undisturbed(tmp_path)
    wait_until(lambda: not living(family), 60, "the end of the dead driver's processes")


@pytest.mark.slow
def test_stopped_by_sigterm(scene: Scene, tmp_path: Path) -> None:
    _stop_by(signal.SIGTERM, scene, tmp_path, "local")
    assert scene.command(tmp_path).wait() == 0
    scene.assert_undisturbed(tmp_path)


def _stop_by(number: int, scene: Scene, storage: Path, address: str) -> int:
    """Stop a run on its way by a signal; the step at which it stopped."""
    scene.order("hold-7-1")
    command = scene.command(storage, address)
    command.until(lambda: scene.is_holding, "it reached the update")
    command.send(number)
    command.until(lambda: "stopping" in command.errors, "it was heard")
    scene.withdraw("hold-7-1")
    assert command.wait() == 130, command.errors
    record = record_of(the_run(storage))
    assert record.status == "interrupted"
    assert 8 <= record.steps < record_of(scene.undisturbed).steps - 2
    names = [path.name for path in (the_run(storage) / "checkpoints").iterdir()]
    assert f"step-{record.steps:08d}-a1" in names
    assert "continue with" in command.errors
    return record.steps
