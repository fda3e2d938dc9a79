"""Whole runs as trials, each in a process that is free to start workers of its own.

Tune's actors live in placement groups, into which Ray would put everything that they start.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cache
from typing import Any

import ray

from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job import Job
from trainwright.job.kinds import kind_of
from trainwright.orchestration.reach import adopt
from trainwright.orchestration.request import Request
from trainwright.orchestration.signals import StopRequest
from trainwright.runs import RunRecord
from trainwright.search.trialling.course import Report, TrialMonitor, recorded
from trainwright.storage import Folder

SECONDS_BETWEEN_LOOKS = 0.3


class Runner:
    """An actor that does one run after another and answers questions meanwhile."""

    def __init__(self) -> None:
        self._stop = StopRequest()
        self._lock = threading.Lock()
        self._progress: dict[str, Any] = {}
        self._milestones: list[dict[str, Any]] = []

    def run(
        self,
        job: Job[Any],
        parent: str,
        start_from: tuple[str, str] | None,
        stores: Mapping[str, str],
    ) -> Report | InputError:
        """Run a job to its end.

        Args:
            job: of any kind.
            parent: name of the run that this one is part of.
            start_from: URL of another run's folder, and the checkpoint to begin from.
            stores: environment variables that say how object stores are reached.
        """
        adopt(stores)
        self._stop = StopRequest()
        self._progress, self._milestones = {}, []
        found: list[Folder] = []

        def started(what: Any) -> None:
            folder: Folder = what.folder
            found.append(folder)
            self._show({"run": folder.name})
            if RunRecord.load(folder) is None:
                RunRecord(folder.name, parent=parent).save(folder)

        request = Request(show=self._show, started=started, stop=self._stop, start_from=start_from)
        try:
            result = kind_of(job).run(job, request)
        except Interrupted:
            return recorded(found[0], "interrupted")
        except InputError as error:
            return error
        except RunError as error:
            report = recorded(found[0], "failed") if found else Report(state="failed")
            report.error = str(error)
            return report
        return recorded(Folder(result.storage), "finished")

    def news(self) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The newest values, and the milestones since the last call."""
        with self._lock:
            milestones, self._milestones = self._milestones, []
            return dict(self._progress), milestones

    def stop(self) -> None:
        """Ask the run to write a checkpoint and end."""
        self._stop.request()

    def _show(self, progress: Mapping[str, Any]) -> None:
        with self._lock:
            known = self._milestones[-1:]
            milestone = progress.get("milestone")
            if milestone is not None and [milestone] != known:
                self._milestones.append(dict(milestone))
            self._progress.update({k: v for k, v in progress.items() if k != "milestone"})


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
    """
    monitor.waits = False  # workers cannot be held
    runner = _runner()
    running = runner.run.remote(job, parent, start_from, stores)
    stop.on_request(runner.stop.remote)
    try:
        while not ray.wait([running], timeout=SECONDS_BETWEEN_LOOKS)[0]:
            _pass_on(runner, monitor)
        _pass_on(runner, monitor)
        ended: Report | InputError = ray.get(running)
    except ray.exceptions.RayActorError as error:
        _runner.cache_clear()
        first = str(error).strip().partition("\n")[0]
        return Report(state="failed", error=f"its process was lost: {first}")
    if isinstance(ended, InputError):
        raise ended
    return ended


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
    make = ray.remote(num_cpus=0)(Runner)
    return make.options(scheduling_strategy=here, max_concurrency=4).remote()
