"""Whole runs as trials, each in a process that is free to start workers of its own.

Tune's actors live in placement groups, into which Ray would put everything that they start.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Mapping
from functools import cache
from typing import Any

import ray

from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.orchestration.light import Abandoned
from trainwright.orchestration.ray_errors import end_of_process
from trainwright.orchestration.reach import adopt
from trainwright.orchestration.request import Request
from trainwright.orchestration.signals import StopRequest
from trainwright.search.trialling.course import SECONDS_TO_END, Report, TrialMonitor, recorded
from trainwright.storage import Folder
from trainwright.training.guard import NumericsError

SECONDS_BETWEEN_LOOKS = 0.3
SECONDS_TO_SAVE = 0.75 * SECONDS_TO_END
"""A run that is given up may end by itself for so long; then its processes are killed."""

_INHERITED = ("OMP_NUM_THREADS", "DS_ACCELERATOR", "CUDA_VISIBLE_DEVICES")
"""Variables by which Ray would let a process without a share of its own have nothing."""


class Runner:
    """An actor that does one run after another and answers questions meanwhile.

    Args:
        environment: of the process for which it works, as far as it says what to train on.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        os.environ.update(environment)
        self._stop = StopRequest()
        self._lock = threading.Lock()
        self._unwanted: set[str] = set()
        self._order = ""
        self._progress: dict[str, Any] = {}
        self._milestones: list[dict[str, Any]] = []

    def run(
        self,
        order: str,
        job: Job[Any],
        parent: str,
        start_from: tuple[str, str] | None,
        stores: Mapping[str, str],
    ) -> Report | InputError:
        """Run a job to its end.

        Args:
            order: by which it can be stopped.
            job: of any kind.
            parent: name of the run that this one is part of.
            start_from: URL of another run's folder, and the checkpoint to begin from.
            stores: environment variables that say how object stores are reached.
        """
        adopt(stores)
        with self._lock:
            self._order, self._stop = order, StopRequest()
            self._progress, self._milestones = {}, []
            if order in self._unwanted:
                self._stop.request()
        found: list[Folder] = []

        def started(what: Any) -> None:
            folder: Folder = what.folder
            found.append(folder)
            self._show({"run": folder.name})

        request = Request(
            show=self._show, started=started, stop=self._stop, start_from=start_from, parent=parent
        )
        try:
            result = kind_of(job).run(job, request)
        except Interrupted:
            return recorded(found[0], "interrupted")
        except InputError as error:
            return error
        except RunError as error:
            report = recorded(found[0], "failed") if found else Report(state="failed")
            report.error, report.is_final = str(error), _would_come_again(error)
            return report
        return recorded(Folder(result.storage), "finished")

    def news(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The newest values, and the milestones since the last call."""
        with self._lock:
            milestones, self._milestones = self._milestones, []
            return dict(self._progress), milestones

    def stop(self, order: str) -> None:
        """Ask a run to write a checkpoint and end, even if it has not begun yet."""
        with self._lock:
            self._unwanted.add(order)
            if order == self._order:
                self._stop.request()

    def _show(self, progress: Mapping[str, Any]) -> None:
        with self._lock:
            known = self._milestones[-1:]
            milestone = progress.get("milestone")
            if milestone is not None and [milestone] != known:
                self._milestones.append(dict(milestone))
            self._progress.update({k: v for k, v in progress.items() if k != "milestone"})


def _would_come_again(error: RunError) -> bool:
    """Whether numbers that are not finite ended a run, here or as a worker tells it."""
    return isinstance(error, NumericsError) or f" {NumericsError.__name__}: " in str(error)


def run_whole(
    job: Job[Any],
    parent: str,
    start_from: tuple[str, str] | None,
    stores: Mapping[str, str],
    monitor: TrialMonitor,
    stop: StopRequest,
) -> Report:
    """Run a job in this process's runner, passing on its progress.

    Args:
        job: of any kind.
        parent: name of the run that this one is part of.
        start_from: URL of another run's folder, and the checkpoint to begin from.
        stores: environment variables that say how object stores are reached.
        monitor: takes the progress.
        stop: asks to stop.

    Raises:
        InputError: the job cannot run.
        Abandoned: it was given up; its processes have ended.
    """
    monitor.waits = False  # workers cannot be held
    runner = _runner()
    order = uuid.uuid4().hex
    running = runner.run.remote(order, job, parent, start_from, stores)
    stop.on_request(lambda: runner.stop.remote(order))
    try:
        while not ray.wait([running], timeout=SECONDS_BETWEEN_LOOKS)[0]:
            _pass_on(runner, monitor)
        _pass_on(runner, monitor)
        ended: Report | InputError = ray.get(running)
    except Abandoned:
        _end(runner, order, running)
        raise
    except ray.exceptions.RayActorError as error:
        _runner.cache_clear()
        reason = f"its process was lost: {end_of_process(str(error))}"
        return Report(state="failed", run=monitor.progress().get("run"), error=reason)
    if isinstance(ended, InputError):
        raise ended
    return ended


def _end(runner: Any, order: str, running: Any) -> None:
    """End a run that nobody wants any more, so that others can have its workers."""
    runner.stop.remote(order)
    if not ray.wait([running], timeout=SECONDS_TO_SAVE)[0]:
        ray.kill(runner)
        _runner.cache_clear()


def _pass_on(runner: Any, monitor: TrialMonitor) -> None:
    progress, milestones = ray.get(runner.news.remote())
    monitor.show(progress)
    for milestone in milestones:
        monitor.show({"milestone": milestone})


@cache
def _runner() -> Any:
    """This process's runner, on the same node and in no placement group."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    make = ray.remote(num_cpus=0)(Runner).options(scheduling_strategy=here, max_concurrency=4)
    return make.remote({name: os.environ[name] for name in _INHERITED if name in os.environ})
