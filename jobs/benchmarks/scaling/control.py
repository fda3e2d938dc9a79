"""What workers cost the driver: their messages, the controller's questions, their start."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from common.children import IMPORTS, environment_of

from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.monitor import BoardActor, RemoteMonitor
from trainwright.orchestration.quiet import set_defaults
from trainwright.orchestration.vitals import Memory, Vitals

POLLS_PER_S = 20
"""Of the measured controller; ours ask five times a second at most."""

MESSAGES = 500
SHARE = 0.01
"""CPUs that a measured worker asks for, so that any number finds room."""

HERE = Vitals("n" * 56, "a-machine", 12345, "p" * 36, "l" * 24, Memory(1, 5, 10))
INTERVAL = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"


class CountedBoard(BoardActor):
    """The driver's board, which tells what it takes."""

    def cpu(self) -> float:
        """Seconds of processor so far."""
        return time.process_time()


class Reporters:
    """Workers that only report, several in a process."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._monitors: list[RemoteMonitor] = []

    def flood(self, messages: int, ranks: int) -> None:
        """Send as fast as the board takes them, in the name of several workers."""
        import ray

        for start in range(0, messages, 20):
            sent = range(start, min(start + 20, messages))
            ray.get([self._board.exchange.remote({}, i % ranks, HERE) for i in sent])

    def report(self, ranks: list[int], workers: int) -> None:
        """Begin to report as so many workers do."""
        self._monitors = [RemoteMonitor(self._board, r, lambda: HERE, workers) for r in ranks]

    def end(self) -> None:
        """End that."""
        for monitor in self._monitors:
            monitor.close()


@contextmanager
def ray_here() -> Iterator[None]:
    """A Ray of this machine's own, with room for any number of small workers."""
    set_defaults({**ENVIRONMENT, "RAY_AUTH_MODE": "disabled", INTERVAL: f"{1 / POLLS_PER_S}"})
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    with environment_of(IMPORTS):
        ray.init(address="local", include_dashboard=False, num_cpus=8, **options)
    try:
        yield
    finally:
        ray.shutdown()


def messages(numbers: list[int], repeats: int) -> dict[str, list[list[float]]]:
    """Seconds of the board's processor for a message, and of one call there and back.

    Args:
        numbers: in the name of how many workers.
        repeats: of each, in turn.
    """
    import ray

    board = ray.remote(num_cpus=0)(CountedBoard).remote()
    reporters = ray.remote(num_cpus=0)(Reporters).remote(board)
    ray.get(reporters.flood.remote(MESSAGES, 1))
    found: dict[str, list[list[float]]] = {"board": [[] for _ in numbers], "call": [[]]}
    for _ in range(repeats):
        for place, workers in enumerate(numbers):
            before = ray.get(board.cpu.remote())
            ray.get(reporters.flood.remote(MESSAGES, workers))
            found["board"][place].append((ray.get(board.cpu.remote()) - before) / MESSAGES)
        began = time.perf_counter()
        for _ in range(100):
            ray.get(board.progress.remote())
        found["call"][0].append((time.perf_counter() - began) / 100)
    return found


def reporting(numbers: list[int], seconds: float) -> list[float]:
    """Share of a core that the board takes while so many workers report as they do in a run."""
    import ray

    shares = []
    for workers in numbers:
        board = ray.remote(num_cpus=0)(CountedBoard).remote()
        reporters = ray.remote(num_cpus=0)(Reporters).remote(board)
        ray.get(reporters.report.remote(list(range(workers)), workers))
        time.sleep(1.0)  # all have told once
        before, began = ray.get(board.cpu.remote()), time.perf_counter()
        time.sleep(seconds)
        used = ray.get(board.cpu.remote()) - before
        shares.append(used / (time.perf_counter() - began))
        ray.get(reporters.end.remote())
        ray.kill(reporters)
        ray.kill(board)
    return shares


def vitals_of(workers: int, repeats: int) -> list[float]:
    """Seconds until the driver has the vitals of so many workers, as it asks every two seconds."""
    import ray

    board = ray.remote(num_cpus=0)(CountedBoard).remote()
    reporters = ray.remote(num_cpus=0)(Reporters).remote(board)
    ray.get(reporters.flood.remote(workers, workers))
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        assert len(ray.get(board.vitals.remote())) == workers
        found.append(time.perf_counter() - began)
    return found


def places(numbers: list[int], repeats: int) -> dict[str, list[list[float]]]:
    """Seconds until Ray has found places for so many workers, and of one look at a wish."""
    from ray.util.placement_group import (
        placement_group,
        placement_group_table,
        remove_placement_group,
    )

    found: dict[str, list[list[float]]] = {"created": [[] for _ in numbers], "look": [[]]}
    for _ in range(repeats):
        for place, workers in enumerate(numbers):
            began = time.perf_counter()
            wish = placement_group([{"CPU": SHARE}] * workers, strategy="PACK")
            assert wish.wait(60)
            found["created"][place].append(time.perf_counter() - began)
            if workers == 1:
                began = time.perf_counter()
                placement_group_table(wish)
                found["look"][0].append(time.perf_counter() - began)
            remove_placement_group(wish)
    return found


@dataclass(frozen=True)
class Started:
    """A group of Ray Train's workers that do nothing.

    Attributes:
        workers: how many.
        start_s: seconds from the call until all of them ran.
        controller_start_s: of processor that their controller took until then.
        controller: share of a core that it takes afterwards, asking ``POLLS_PER_S`` times.
    """

    workers: int
    start_s: float
    controller_start_s: float
    controller: float


class Begun:
    """Counts the workers that run, and tells them when it is over."""

    def __init__(self) -> None:
        self._number = 0
        self._over = False

    def add(self) -> int:
        """One more."""
        self._number += 1
        return self._number

    def number(self) -> int:
        """How many."""
        return self._number

    def end(self) -> None:
        """It is over."""
        self._over = True

    def is_over(self) -> bool:
        """Whether it is."""
        return self._over


def idle(config: dict[str, Any]) -> None:
    """What a measured worker does."""
    import ray

    begun = config["begun"]
    ray.get(begun.add.remote())
    while not ray.get(begun.is_over.remote()):
        time.sleep(0.2)


def started(workers: int, seconds: float, folder: Path) -> Started:
    """Start a group, and watch its controller for a while."""
    import ray
    from ray.train import RunConfig, ScalingConfig
    from ray.train.v2.api.config import LoggingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    begun = ray.remote(num_cpus=0)(Begun).remote()
    trainer = DataParallelTrainer(
        idle,
        train_loop_config={"begun": begun},
        scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": SHARE}),
        run_config=RunConfig(
            name=uuid.uuid4().hex[:8],
            storage_path=str(folder),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )
    began = time.perf_counter()
    thread = threading.Thread(target=trainer.fit, daemon=True)
    thread.start()
    while ray.get(begun.number.remote()) < workers:
        if not thread.is_alive():
            raise RuntimeError(f"{workers} workers did not start")
        time.sleep(0.02)
    start_s = time.perf_counter() - began
    controller = _controller()
    used = _processor(controller)
    share = _share_of_a_core(controller, seconds) if seconds else 0.0
    ray.get(begun.end.remote())
    thread.join(60)
    return Started(workers, start_s, used, share)


def _controller() -> psutil.Process:
    """Ray Train's, among the processes of this one's Ray."""
    for process in psutil.Process(os.getpid()).children(recursive=True):
        if any("TrainController" in word for word in process.cmdline()):
            return process
    raise RuntimeError("there is no controller")


def _share_of_a_core(process: psutil.Process, seconds: float) -> float:
    time.sleep(0.5)
    before, began = _processor(process), time.perf_counter()
    time.sleep(seconds)
    return (_processor(process) - before) / (time.perf_counter() - began)


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
