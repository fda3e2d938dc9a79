"""From the kill to training again: workers and nodes of a Ray cluster on this machine.

A run of two workers under ZeRO-2 is killed again and again, by SIGKILL of one of its workers or of
a whole node. See README.md beside this file.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil
from common.pairs import Side
from launch.measure import WORKER_STAGES, medians
from launch.stamps import read_stamps

from trainwright.errors import Interrupted
from trainwright.job import Job
from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.launch import run_job
from trainwright.orchestration.quiet import set_defaults

JOB = Path(__file__).resolve().parents[1] / "launch" / "launch.yaml"
SECONDS_OF_TRAINING = 3.0
"""Between a recovery and the next kill."""

NOTICING = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""Of a cluster that notices a dead node within seconds."""


@dataclass(frozen=True)
class Case:
    """What is killed.

    Attributes:
        what: ``worker`` or ``node``.
        noticing: settings of the cluster's health check; empty for Ray's own.
        goal: seconds until training goes on.
    """

    what: str
    noticing: Mapping[str, int]
    goal: float


CASES = (
    Case("worker", NOTICING, 10.0),
    Case("node", NOTICING, 30.0),
    Case("node", {}, 30.0),
)


@dataclass(frozen=True)
class RecoveryResult:
    """What came of one case.

    Attributes:
        case: what was killed.
        kills: how often.
        seconds: from the kill to the end of the first update afterwards.
        stages: median seconds until it was noticed, and of each stage of the new group's start.
    """

    case: Case
    kills: int
    seconds: Side
    stages: dict[str, float]


def measure(case: Case, kills: int) -> RecoveryResult:
    """Kill as often, in a process and a cluster of their own."""
    here, there = mp.get_context("spawn").Pipe()
    process = mp.get_context("spawn").Process(target=_measured, args=(case, kills, there))
    process.start()
    there.close()
    rows: list[dict[str, float]] = here.recv()
    process.join()
    return RecoveryResult(case, len(rows), Side.of([row["total"] for row in rows]), medians(rows))


def _measured(case: Case, kills: int, answer: Connection) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled"})
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": dict(case.noticing)}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2 + kills * (case.what == "node")):
        cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as folder:
            killer = Killer(Path(folder) / "stamps.jsonl", kills, KILLS[case.what])
            killer.file.touch()
            overrides = [
                f"strategies.0.file={killer.file}",
                f"storage={folder}/runs",
                "training.epochs=100000",
                "training.checkpoint_every=20 steps",
                "cluster.cpus_per_worker=1",
                "tracking.enabled=false",
            ]
            with suppress(Interrupted):
                run_job(Job.load(JOB, overrides), show=killer)
            answer.send(killer.rows)
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass
class Killer:
    """Sees the progress of a run, kills something of it, and takes the time until it is back.

    Attributes:
        file: where the run's probe notes when a stage has ended.
        left: kills to come.
        kill: kills.
        rows: seconds of each stage, for each kill.
    """

    file: Path
    left: int
    kill: Callable[[], None]
    rows: list[dict[str, float]] = field(default_factory=list)
    _killed: float | None = None
    _noticed: float = 0.0

    def __call__(self, progress: Mapping[str, Any]) -> None:
        stamps = read_stamps(self.file)
        if self._killed is None:
            if self.left and time.time() - stamps.get("update", time.time()) > SECONDS_OF_TRAINING:
                self.left -= 1
                self.kill()
                self._killed = time.time()
        elif "restarting" in str(progress.get("remark", "")):
            self._noticed = time.time()
        elif stamps["update"] > self._killed:
            ends = [self._killed, self._noticed, *(stamps[stage] for stage in WORKER_STAGES)]
            names = ["noticed", *WORKER_STAGES]
            row = {n: end - before for n, before, end in zip(names, ends, ends[1:], strict=False)}
            self.rows.append({**row, "total": ends[-1] - ends[0]})
            self._killed = None
            if not self.left:
                signal.raise_signal(signal.SIGINT)


def _a_worker() -> psutil.Process:
    """A worker that trains in a cluster of this process."""
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has ended meanwhile
            if "RayTrainWorker" in " ".join(child.cmdline()):
                return child
    raise RuntimeError("no worker is running")


def kill_worker() -> None:
    """SIGKILL."""
    _a_worker().kill()


def kill_node() -> None:
    """SIGKILL of all processes of a worker's node."""
    raylet = _a_worker()
    while raylet.name() != "raylet":
        parent = raylet.parent()
        assert parent is not None
        raylet = parent
    for process in [raylet, *raylet.children(recursive=True)]:
        process.kill()


KILLS = {"worker": kill_worker, "node": kill_node}
