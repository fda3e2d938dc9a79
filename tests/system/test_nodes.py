"""Several Ray nodes on one machine: some die, freeze or have to leave; and processes that crash.

The driver is the command line, on a node of its own that offers no CPUs.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from driving import Command, end_all, write_job
from machines import Machines
from stories import Story, assert_same_run, record_of, the_run

from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.quiet import set_defaults

pytestmark = [pytest.mark.timeout(1800), pytest.mark.slow]

MISHAPS = Path(__file__).parent / "plugins" / "mishaps.py"
ON_THE_WAY = 30
"""Updates after which something happens; there are checkpoints before."""


class Scene:
    """A job on two workers, its undisturbed run, and machines to train on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "mishaps.py").write_bytes(MISHAPS.read_bytes())
        self.orders = folder / "orders"
        self.orders.mkdir()
        self.machines = Machines()
        self.job = write_job(folder, self._values())
        self.machines.ensure(3)
        calm = self.command(folder / "undisturbed")
        assert calm.wait() == 0, calm.errors
        self.undisturbed = the_run(folder / "undisturbed")

    def _values(self) -> dict[str, Any]:
        return {
            "name": "nodes",
            "data": {"source": "digits", "batch_size": 128, "validation": 0.2},
            "model": {"name": "convnet", "width": 4, "dropout": 0.3},
            "objective": "cross_entropy",
            "strategies": [{"name": "mishaps.py:Mishaps", "orders": str(self.orders)}],
            "training": {"epochs": 30, "checkpoint_every": "20 steps", "record_samples": True},
            "deepspeed": {"zero_optimization": {"stage": 2}},
            "cluster": {"workers": 2, "cpus_per_worker": 1, "room_timeout_s": 600},
            "tracking": {"enabled": False},
        }

    def command(self, storage: Path, *overrides: str) -> Command:
        for left in self.orders.iterdir():
            left.unlink()
        places = (f"storage={storage}", f"cluster.address={self.machines.address}", *overrides)
        parts = (part for place in places for part in ("-s", place))
        return Command("run", self.job, *parts, folder=self.folder)

    def on_its_way(self, command: Command) -> None:
        command.until(lambda: (self.at(1) or [0])[0] >= ON_THE_WAY, "training")

    def at(self, rank: int) -> list[int] | None:
        """Update, process and parent process of a worker."""
        file = self.orders / f"at-{rank}"
        return json.loads(file.read_text()) if file.exists() else None

    def node_of(self, rank: int) -> list[psutil.Process]:
        """A worker's raylet, and all processes below it."""
        at = self.at(rank)
        assert at is not None
        return self.machines.node_of(at[1])

    def order(self, mishap: str, rank: int = 1) -> None:
        at = self.at(rank)
        assert at is not None
        (self.orders / f"{mishap}-{at[0] + 20}-{rank}").touch()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"})
    scene = Scene(tmp_path_factory.mktemp("scene"))
    yield scene
    scene.machines.close()


def _told(command: Command) -> str:
    return " ".join(command.errors.split())


def test_a_killed_node_is_replaced_by_one_that_is_free(scene: Scene, tmp_path: Path) -> None:
    scene.machines.ensure(3)
    command = scene.command(tmp_path, "cluster.max_failures=0")
    scene.on_its_way(command)
    end_all(scene.node_of(1))
    assert command.wait() == 0, command.errors
    assert re.search(r"worker 1 \(process \d+ on .*?\) was lost: its node died", _told(command))
    assert "waiting for" not in _told(command)
    assert Story.of(the_run(tmp_path)).attempts == [1, 2]
    assert_same_run(the_run(tmp_path), scene.undisturbed)


def test_where_none_is_free_what_is_missing_is_told_until_it_comes(
    scene: Scene, tmp_path: Path
) -> None:
    scene.machines.ensure(2)
    command = scene.command(tmp_path)
    scene.on_its_way(command)
    end_all(scene.node_of(0))
    command.until(lambda: "waiting for 1 more CPU: 2 workers need 2" in _told(command), "waiting")
    assert record_of(the_run(tmp_path)).status == "running"
    scene.machines.add()
    assert command.wait() == 0, command.errors
    assert "the wait is over" in _told(command)
    assert_same_run(the_run(tmp_path), scene.undisturbed)


def test_a_wait_can_be_stopped(scene: Scene, tmp_path: Path) -> None:
    scene.machines.ensure(2)
    command = scene.command(tmp_path)
    scene.on_its_way(command)
    end_all(scene.node_of(1))
    command.until(lambda: "waiting for 1 more CPU" in _told(command), "waiting")
    command.send(signal.SIGTERM)
    assert command.wait() == 130, command.errors
    assert record_of(the_run(tmp_path)).status == "interrupted"
    scene.machines.ensure(2)
    assert scene.command(tmp_path).wait() == 0
    assert_same_run(the_run(tmp_path), scene.undisturbed)


def test_and_has_an_end(scene: Scene, tmp_path: Path) -> None:
    scene.machines.ensure(2)
    command = scene.command(tmp_path, "cluster.room_timeout_s=5")
    scene.on_its_way(command)
    end_all(scene.node_of(1))
    assert command.wait() == 1, command.errors
    assert "waited 5 s (cluster.room_timeout_s) in vain for 1 more CPU" in _told(command)
    assert record_of(the_run(tmp_path)).status == "failed"


def test_a_frozen_node(scene: Scene, tmp_path: Path) -> None:
    """Nothing of it answers and no connection breaks: the cluster's health check finds it."""
    scene.machines.ensure(3)
    command = scene.command(tmp_path, "cluster.max_failures=0")
    scene.on_its_way(command)
    frozen = scene.node_of(1)
    for process in frozen:
        process.suspend()
    try:
        assert command.wait() == 0, command.errors
    finally:
        end_all(frozen)
    assert "was lost: its node died" in _told(command)
    assert_same_run(the_run(tmp_path), scene.undisturbed)


def test_nodes_lost_too_often(scene: Scene, tmp_path: Path) -> None:
    scene.machines.ensure(3)
    overrides = ("cluster.max_node_failures=0", "training.checkpoint_every=1000 steps")
    command = scene.command(tmp_path, *overrides, "training.epochs=1000")
    scene.on_its_way(command)
    end_all(scene.node_of(1))
    assert command.wait() == 1, command.errors
    assert "its node died, and 0 restarts did not help" in _told(command)
    assert "cluster.max_node_failures is 0" in _told(command)


def test_a_node_that_is_taken_away_is_left_in_time(scene: Scene, tmp_path: Path) -> None:
    """No update is lost: training is saved before, and goes on elsewhere."""
    scene.machines.ensure(3)
    command = scene.command(tmp_path, "cluster.max_failures=0")
    scene.on_its_way(command)
    drained = scene.node_of(1)
    scene.machines.drain(drained[0])
    assert command.wait() == 0, command.errors
    assert "was asked to end, and training was saved before" in _told(command)
    assert_same_run(the_run(tmp_path), scene.undisturbed)
    _assert_nothing_was_repeated(the_run(tmp_path))
    end_all(drained)


def test_a_worker_that_gets_sigterm_is_left_in_time(scene: Scene, tmp_path: Path) -> None:
    scene.machines.ensure(2)
    command = scene.command(tmp_path, "cluster.max_failures=0")
    scene.on_its_way(command)
    scene.order("sigterm")
    assert command.wait() == 0, command.errors
    assert "worker 1 was asked to end, and training was saved before" in _told(command)
    assert_same_run(the_run(tmp_path), scene.undisturbed)
    _assert_nothing_was_repeated(the_run(tmp_path))


@pytest.mark.parametrize(
    ("mishap", "name", "call"),
    [
        ("segfault", "Segmentation fault", "in string_at"),
        ("abort", "Aborted", "in loss"),
    ],
)
def test_a_crash_in_native_code_is_told_with_the_python_stack(
    scene: Scene, tmp_path: Path, mishap: str, name: str, call: str
) -> None:
    scene.machines.ensure(2)
    command = scene.command(tmp_path, "cluster.max_failures=0")
    scene.on_its_way(command)
    scene.order(mishap)
    assert command.wait() == 1, command.errors
    told = command.errors
    assert re.search(rf"worker 1 .*was lost: it crashed: {name}", _told(command))
    assert "cluster.max_failures is 0" in _told(command)
    assert "logs/worker-1.log" in told
    assert call in told
    assert "mishaps.py" in told


@pytest.mark.parametrize(("actor", "attempts"), [("TrainController", 2), ("BoardActor", 1)])
def test_a_process_of_the_driver_s_node_is_killed(
    scene: Scene, tmp_path: Path, actor: str, attempts: int
) -> None:
    """Ray Train's controller takes its workers with it; what only shows progress takes nothing."""
    scene.machines.ensure(2)
    command = scene.command(tmp_path)
    scene.on_its_way(command)
    (process,) = scene.machines.actors(actor)
    process.kill()
    assert command.wait() == 0, command.errors
    assert Story.of(the_run(tmp_path)).attempts == list(range(1, attempts + 1))
    assert_same_run(the_run(tmp_path), scene.undisturbed)


def _assert_nothing_was_repeated(run: Path) -> None:
    """The second attempt began where the first one had ended."""
    (first, second) = (
        [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted((run / "journal").iterdir())
    )
    steps = [{row["step"] for row in rows if row["kind"] == "samples"} for rows in (first, second)]
    assert steps[0]
    assert not steps[0] & steps[1]
