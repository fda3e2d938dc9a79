"""Training the runs of a comparison: in this process, or on Ray actors that are used again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from trainwright.job.cluster_spec import PoolSpec
from trainwright.orchestration.light import Ended, Errand, train_light
from trainwright.orchestration.machine import cpus_here
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.processes import reuse_memory, worker_environment
from trainwright.orchestration.signals import StopRequest

Progress = Mapping[str, Any]


class Watcher(Protocol):
    """Who wants to know how the runs fare."""

    def began(self, name: str) -> None:
        """A run is being trained."""
        ...

    def progress(self, name: str, progress: Progress) -> None:
        """The newest values of a run."""
        ...

    def ended(self, name: str, ended: Ended) -> None:
        """A run has come to an end."""
        ...


def train_here(errands: Sequence[Errand], watcher: Watcher, stop: StopRequest) -> None:
    """Train all in this process, one after another, until somebody asks to stop."""
    reuse_memory()
    for errand in errands:
        if stop.requested:
            return
        monitor = LocalMonitor()
        stop.on_request(monitor.request_stop)
        watcher.began(errand.name)
        with _telling(watcher, errand.name, monitor):
            ended = train_light(errand, monitor)
        watcher.ended(errand.name, ended)


@contextmanager
def _telling(watcher: Watcher, name: str, monitor: LocalMonitor) -> Iterator[None]:
    """Hand progress to the watcher a few times a second, from a thread."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(0.25):
            watcher.progress(name, monitor.progress())

    thread = threading.Thread(target=beat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


class Trainer:
    """What an actor holds: it trains one errand at a time and answers questions meanwhile."""

    def __init__(self) -> None:
        self._name = ""
        self._monitor = LocalMonitor()
        self._stopping = False

    def train(self, errand: Errand) -> Ended:
        """Train one run to its end."""
        from trainwright.orchestration.reach import adopt

        adopt(errand.stores)
        self._monitor, self._name = LocalMonitor(), errand.name
        if self._stopping:
            self._monitor.request_stop()
        return train_light(errand, self._monitor)

    def progress(self) -> tuple[str, dict[str, Any]]:
        """The present run and its newest values."""
        return self._name, self._monitor.progress()

    def stop(self) -> None:
        """Ask the present run, and one that is just being handed over, to stop."""
        self._stopping = True
        self._monitor.request_stop()


class Pool:
    """Ray actors that train errands, each one after another; a lost one is replaced.

    Args:
        spec: how many, and with which share of the machine.
        watcher: told how the runs fare.
        stop: whether somebody asked to stop.
    """

    def __init__(self, spec: PoolSpec, watcher: Watcher, stop: StopRequest) -> None:
        self._spec = spec
        self._watcher = watcher
        self._stop = stop
        self._losses_left = spec.max_failures
        self._busy: dict[Any, tuple[Any, Errand]] = {}

    def train(self, errands: Sequence[Errand], size: int) -> None:
        """Train all errands on ``size`` actors; returns early when somebody asks to stop."""
        import ray

        waiting = deque(errands)
        idle = [self._start() for _ in range(min(size, len(errands)))]
        asked = False
        try:
            while self._busy or (waiting and not self._stop.requested):
                while idle and waiting and not self._stop.requested:
                    self._give(idle.pop(), waiting.popleft())
                if not self._busy:  # asked to stop meanwhile
                    break
                ready, _ = ray.wait(list(self._busy), timeout=0.25)
                for reference in ready:
                    idle.append(self._take(reference, waiting))
                self._look()
                if self._stop.requested and not asked:
                    asked = True
                    for actor, _ in self._busy.values():
                        actor.stop.remote()
        finally:
            for actor in [*idle, *(actor for actor, _ in self._busy.values())]:
                ray.kill(actor)

    def _start(self) -> Any:
        import ray

        spec = self._spec
        make = ray.remote(num_cpus=spec.cpus_per_worker, num_gpus=spec.gpus_per_worker)(Trainer)
        environment = worker_environment(spec.cpus_per_worker, spec.gpus_per_worker > 0)
        # Besides the run: a question for progress, and the request to stop.
        return make.options(max_concurrency=3, runtime_env={"env_vars": environment}).remote()

    def _give(self, actor: Any, errand: Errand) -> None:
        self._busy[actor.train.remote(errand)] = (actor, errand)
        self._watcher.began(errand.name)

    def _take(self, reference: Any, waiting: deque[Errand]) -> Any:
        """Note what came of a run; the actor, or another one in the place of a lost one."""
        import ray

        actor, errand = self._busy.pop(reference)
        try:
            self._watcher.ended(errand.name, ray.get(reference))
            return actor
        except ray.exceptions.RayActorError as error:
            if self._losses_left > 0:
                self._losses_left -= 1
                waiting.appendleft(errand)
            else:
                reason = f"its process was lost: {str(error).splitlines()[0]}"
                self._watcher.ended(errand.name, Ended("failed", reason))
            return self._start()
        except ray.exceptions.RayError as error:
            self._watcher.ended(errand.name, Ended("failed", str(error)))
            return actor

    def _look(self) -> None:
        import ray

        asked = [actor.progress.remote() for actor, _ in self._busy.values()]
        ready, _ = ray.wait(asked, num_returns=len(asked), timeout=0.5) if asked else ([], [])
        for reference in ready:
            with suppress(ray.exceptions.RayError):  # a lost actor is noticed by its run
                name, progress = ray.get(reference)
                if any(name == errand.name for _, errand in self._busy.values()):
                    self._watcher.progress(name, progress)


def pool_size(spec: PoolSpec, runs: int, cpus: float) -> int:
    """How many actors: as the job says, else as many as the CPUs bear, no more than runs."""
    wanted = spec.workers or max(1, int(cpus / spec.cpus_per_worker))
    return min(wanted, runs)


@contextmanager
def on_cluster(spec: PoolSpec) -> Iterator[float]:
    """Inside, this process is on the Ray cluster of a comparison; gives its number of CPUs.

    Raises:
        RunError: the cluster cannot be reached.
        JobError: the actors can never fit into it.
    """
    from trainwright.orchestration import on_ray

    cluster = spec.as_cluster()
    connected = on_ray.connect(cluster)
    import ray

    try:
        on_ray.check_resources(cluster)
        yield float(ray.cluster_resources().get("CPU", cpus_here()))
    finally:
        if connected:
            ray.shutdown()
