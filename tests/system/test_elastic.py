"""A range of workers on Ray: as many as there is room for, whatever happens to the room."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from driving import Command, write_job
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from stories import Story, record_of, runs_in, the_run

from trainwright.errors import RunError
from trainwright.job import Job
from trainwright.job.models import ClusterSpec
from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.growth import room_for
from trainwright.orchestration.launch import run_job
from trainwright.orchestration.quiet import set_defaults
from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage

pytestmark = pytest.mark.timeout(1200)

TOLERANCE = 1e-5
CPUS = 2.0
"""Of the cluster that the tests share."""

PACE = Path(__file__).parent / "plugins" / "pace.py"


def _job(folder: Path, stage: int = 2, **cluster: Any) -> Path:
    (folder / "pace.py").write_bytes(PACE.read_bytes())
    (folder / "orders").mkdir()
    (folder / "orders" / "slow").touch()
    return write_job(
        folder,
        {
            "name": "elastic",
            "data": {"source": "digits", "batch_size": 96, "validation": 0.2},
            "model": {"name": "mlp", "hidden": [48]},
            "objective": "cross_entropy",
            "strategies": [{"name": "pace.py:Pace", "orders": str(folder / "orders")}],
            "optimizer": {"name": "adamw", "lr": 0.01},
            "schedule": {"name": "cosine", "warmup": 0.1},
            "training": {
                "epochs": 10,
                "evaluate_every": "20 steps",
                "checkpoint_every": "10 steps",
                "record_samples": True,
                "max_grad_norm": 0.5,
            },
            "metrics": ["accuracy"],
            "deepspeed": {"zero_optimization": {"stage": stage}},
            "cluster": {
                "workers": [1, 4],
                "cpus_per_worker": 0.5,
                "resize_after_s": 0.5,
                **cluster,
            },
            "tracking": {"enabled": False},
        },
    )


def _assert_as_in_process(folder: Path, job: Path) -> None:
    """The run tells the same story as one that stays in one process."""
    (folder / "orders" / "slow").unlink(missing_ok=True)
    alone = ["cluster={workers: 0}", f"storage={folder}/alone", "deepspeed={}"]
    run_job(Job.load(job, alone))
    fixed, story = Story.of(the_run(folder / "alone")), Story.of(the_run(folder / "runs"))
    assert len(fixed.samples) == 150
    assert story.samples == fixed.samples
    assert story.metrics.keys() == fixed.metrics.keys()
    for key, value in fixed.metrics.items():
        assert story.metrics[key] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), key


def _sizes(run: Path) -> list[int]:
    """Workers of each attempt that counts."""
    rows = read_lineage(Folder(str(run)))
    return [row["world_size"] for row in rows if row["kind"] == "attempt"]


class Room:
    """Takes CPUs of the cluster from a run, and gives them back."""

    def __init__(self) -> None:
        self._taken: list[PlacementGroup] = []

    @property
    def is_taken(self) -> bool:
        return bool(self._taken)

    def take(self, cpus: float) -> PlacementGroup:
        """Wait in line for CPUs."""
        self._taken.append(placement_group([{"CPU": cpus}]))
        return self._taken[-1]

    def give_back(self) -> None:
        while self._taken:
            remove_placement_group(self._taken.pop())


@pytest.fixture
def room(cluster: None) -> Iterator[Room]:
    room = Room()
    yield room
    room.give_back()


def test_as_many_as_there_is_room_for(room: Room) -> None:
    half = ClusterSpec(workers=[1, 4], cpus_per_worker=0.5)
    assert room_for(half, lambda progress: False) == 4
    assert room.take(1.0).wait(60)
    assert room_for(half, lambda progress: False) == 2
    told: list[str] = []

    def watch(progress: Mapping[str, Any]) -> bool:
        told.append(str(progress.get("remark", "")))
        return False

    spec = ClusterSpec(workers=[3, 4], cpus_per_worker=0.5, room_timeout_s=4)
    with pytest.raises(RunError, match=r"waited 4 s .* in vain for 0.5 more CPU"):
        room_for(spec, watch)
    assert any(text.startswith("waiting for 0.5 more CPU") for text in told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "stage"), [([1, 2, 1], 2), *(([2, 4, 1], stage) for stage in (0, 1, 2, 3))]
)
def test_room_comes_and_goes(room: Room, tmp_path: Path, sizes: list[int], stage: int) -> None:
    """Room comes; then a worker dies, and others are faster at its place and those beside it."""
    first, most, last = sizes
    share = CPUS / most
    assert room.take(CPUS - share * first).wait(60)
    job = _job(tmp_path, stage, workers=[1, most], cpus_per_worker=share)
    orders, told = tmp_path / "orders", list[str]()
    began: list[tuple[int, int]] = []  # number of workers, and the first step told of them

    def show(progress: Mapping[str, Any]) -> None:
        if "remark" in progress:
            told.append(str(progress["remark"]))
        if "workers" in progress:
            began.append((progress["workers"], 0))
        if not began:
            return
        step = progress.get("step", 0)
        size, since = began[-1][0], began[-1][1] or step
        began[-1] = (size, since)
        if len(began) == 1 and step:
            room.give_back()
        elif len(began) == 2 and step > since + 20 and not room.is_taken:
            room.take(CPUS - share * last)
            (orders / "die").touch()
        elif len(began) == 3:
            (orders / "slow").unlink(missing_ok=True)

    result = run_job(Job.load(job, [f"storage={tmp_path}/runs"]), show=show)
    assert result.status == "finished"
    run = the_run(tmp_path / "runs")
    assert [size for size, _ in began] == _sizes(run) == sizes
    assert record_of(run).workers == last
    assert f"training goes on with 1 worker instead of {most}" in Story.of(run).events
    assert f"training on {most} workers of at most {most}" in told
    assert any(text.startswith("there was room for") and "saved at step" in text for text in told)
    assert any("was lost" in text for text in told)
    _assert_as_in_process(tmp_path, job)


@pytest.fixture
def machines() -> Iterator[Any]:
    """A Ray cluster of its own, whose head offers no CPUs."""
    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"})
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False}
    )
    yield cluster
    cluster.shutdown()


@pytest.mark.slow
def test_machines_come_and_die(machines: Any, tmp_path: Path) -> None:
    job = _job(tmp_path, 3, cpus_per_worker=1.0, address=machines.address)
    nodes = [machines.add_node(num_cpus=1) for _ in range(2)]
    storage = f"storage={tmp_path}/runs"
    command = Command("run", job, "-s", storage, folder=tmp_path)

    def trains(sizes: list[int]) -> bool:
        runs = runs_in(tmp_path / "runs")
        if not runs or _sizes(runs[0]) != sizes:
            return False
        rows = list(read_lineage(Folder(str(runs[0]))))
        attempt = max(row["attempt"] for row in rows)
        return sum(row["kind"] == "samples" and row["attempt"] == attempt for row in rows) > 20

    command.until(lambda: trains([2]), "two workers train")
    nodes += [machines.add_node(num_cpus=1) for _ in range(2)]
    command.until(lambda: trains([2, 4]), "four workers train")
    for node in nodes[1:]:
        machines.remove_node(node, allow_graceful=False)
    command.until(lambda: trains([2, 4, 1]), "one worker trains")
    (tmp_path / "orders" / "slow").unlink()
    assert command.wait() == 0, command.errors
    _assert_as_in_process(tmp_path, job)
