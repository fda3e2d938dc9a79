"""Ray Tune at work on a sweep, in a thread of its own while the driver watches."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler

from trainwright.job.cluster_spec import Processes
from trainwright.search.marks import TRIAL, unit_of
from trainwright.search.plan import Plan
from trainwright.search.schedulers import make_scheduler
from trainwright.search.spec import PbtSpec
from trainwright.search.trialling.actor import TrialActor
from trainwright.search.trialling.book import Book
from trainwright.search.trialling.breeding import Population
from trainwright.search.trialling.course import SECONDS_TO_END
from trainwright.search.trialling.ending import AllAtOnce, GivenUp, Halted, NothingMore, forgiving
from trainwright.search.trialling.tuning import Follower, Proposals
from trainwright.search.trialling.working import Kit
from trainwright.storage import Folder

TUNE = "tune"
"""Folder inside the sweep's own for Tune's files; nothing in it is read by a later attempt."""

_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # An actor whose trial does not end is killed after so many seconds.
    "TUNE_FORCE_TRIAL_CLEANUP_S": f"{SECONDS_TO_END:.0f}",
    # The sweep keeps its own history, trial by trial.
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
}


@dataclass(frozen=True)
class Room:
    """How trials share the cluster.

    Attributes:
        side_by_side: trials at the same time.
        cpus: share of each trial's own process.
        gpus: the same for GPUs.
        told: the arithmetic, in a line.
    """

    side_by_side: int
    cpus: float
    gpus: float
    told: str


_ROUNDING = 1e-9
IDLE_CPUS = 0.001
"""Share of a process that only watches over workers; Tune asks for some."""


def room_for(plan: Plan, resources: dict[str, float]) -> Room:
    """How many trials fit side by side, by the arithmetic of what the cluster has.

    Args:
        plan: the sweep.
        resources: of the whole cluster: ``CPU`` and ``GPU``.
    """
    pool = plan.job.spec.cluster
    if plan.is_here:
        own: Processes = pool.as_cluster()
        needs, what = _needs(own, 1), _shares(own)
    else:
        # Trials that need more than the smallest one wait for room themselves.
        own = min(plan.clusters, key=lambda one: tuple(_needs(one, one.min_workers).values()))
        needs = _needs(own, own.min_workers)
        what = f"{own.min_workers} worker{'s' if own.min_workers > 1 else ''} x {_shares(own)}"
    fit = max(1, min(int(resources.get(k, 0.0) / v + _ROUNDING) for k, v in needs.items()))
    number = min(n for n in (fit, pool.workers, plan.total_trials) if n is not None)
    total = resources.get("CPU", 0.0)
    has = " and ".join(f"{resources.get(kind, 0.0):g} {kind}" for kind in needs)
    beside = f"{number} trials side by side" if number > 1 else "one trial at a time"
    told = f"{beside}, {what} each, of {has}"
    if not plan.is_here:
        return Room(number, IDLE_CPUS, 0.0, told)
    if isinstance(plan.job.spec.scheduler, PbtSpec):
        # Tune lets as many members run as there is room for, and knows no other limit.
        return Room(number, max(needs["CPU"], total / number), needs.get("GPU", 0.0), told)
    return Room(number, needs["CPU"], needs.get("GPU", 0.0), told)


def _needs(cluster: Processes, workers: int) -> dict[str, float]:
    shares = {"CPU": cluster.cpus_per_worker, "GPU": cluster.gpus_per_worker}
    return {kind: workers * share for kind, share in shares.items() if share > 0}


def _shares(cluster: Processes) -> str:
    return " and ".join(f"{share:g} {kind}" for kind, share in _needs(cluster, 1).items())


class Driving(threading.Thread):
    """Runs trials until there are none left; ``error`` tells what ended it otherwise.

    Ray Tune would take over signals in the main thread.

    Args:
        plan: the sweep.
        folder: the folder of its own run.
        book: its trials.
        kit: what trials need.
        room: how they share the cluster.
        wall: where they post.
        cluster_stays: whether Ray goes on after the sweep.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Folder,
        book: Book,
        kit: Kit,
        room: Room,
        wall: Any,
        *,
        cluster_stays: bool,
    ) -> None:
        super().__init__(name="ray-tune", daemon=True)
        self.error: BaseException | None = None
        self._plan, self._folder, self._book = plan, folder, book
        self._kit, self._room, self._wall = kit, room, wall
        self._cluster_stays = cluster_stays

    def run(self) -> None:
        """Work until all trials have ended."""
        os.environ.update(_ENVIRONMENT)
        try:
            with _scratch(self._folder) as scratch:
                self._tune(scratch)
        except (Halted, GivenUp):
            pass
        except BaseException as error:  # raised again in the thread that waits for this one
            self.error = error

    def _tune(self, scratch: str) -> None:
        spec, judge = self._plan.job.spec, self._plan.judge
        scheduler: Any = FIFOScheduler()
        if isinstance(spec.scheduler, PbtSpec):
            scheduler = Population(spec.scheduler, self._plan, self._book)
        elif spec.scheduler is not None:
            scheduler = make_scheduler(spec.scheduler, judge.first, self._book.trials)
        trainable = tune.with_parameters(
            TrialActor,
            kit=self._kit,
            wall=self._wall,
            goal=judge.first,
            unit=unit_of(spec.scheduler),
        )
        shares = {"CPU": self._room.cpus, "GPU": self._room.gpus}
        # Not by a Tuner, which would write a copy of everything into its folder to begin with.
        tune.run(
            tune.with_resources(trainable, {k: v for k, v in shares.items() if v > 0}),
            **self._trials(),
            scheduler=forgiving(scheduler),
            stop=AllAtOnce(self._book, self._cluster_stays),
            max_concurrent_trials=self._side_by_side(),
            reuse_actors=True,
            name=TUNE,
            storage_path=scratch,
            verbose=0,
            callbacks=[Follower(self._book), NothingMore()],
            max_failures=spec.cluster.max_failures,
            # A trial that could not be run is in the book, and no reason to end the sweep.
            raise_on_failed_trial=False,
        )

    def _trials(self) -> dict[str, Any]:
        """Where Tune takes its trials from; it wants those of a population all at once."""
        if not isinstance(self._plan.job.spec.scheduler, PbtSpec):
            return {"search_alg": Proposals(self._book), "num_samples": -1}
        configs = [self._book.config_of(trial) for trial in iter(self._book.next, None)]
        return {"config": {TRIAL: tune.grid_search(configs)}}

    def _side_by_side(self) -> int | None:
        """Trials that Tune holds at once: of a population all, which take turns on the actors."""
        takes_turns = isinstance(self._plan.job.spec.scheduler, PbtSpec) and self._plan.is_here
        return None if takes_turns else self._room.side_by_side


@contextlib.contextmanager
def _scratch(folder: Folder) -> Iterator[str]:
    """A folder for Tune's files, removed afterwards."""
    if folder.is_local:
        place = folder.local_path() / TUNE
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            yield str(place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return
    with tempfile.TemporaryDirectory(prefix="trainwright-tune-") as temporary:
        yield temporary
