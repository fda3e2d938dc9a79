"""Items worked on one after another in this process, or side by side on Ray."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trainwright.errors import RunError
from trainwright.orchestration.failures import Failure, describe
from trainwright.orchestration.processes import worker_environment
from trainwright.orchestration.quiet import output_to
from trainwright.orchestration.reach import adopt, store_environment
from trainwright.plugins import install_plugin_files
from trainwright.procedure.results import Packed, pack
from trainwright.procedure.spec import TaskCluster

Function = Callable[[Any], Any]
Keep = Callable[[int, Packed], None]
"""Called with the index of an item and its result, in the order in which they are done."""


@dataclass(frozen=True)
class Work:
    """One call of ``map``, as far as it is left to do.

    Attributes:
        name: of the call.
        function: applied to each item.
        items: (index, item) of those to work on.
    """

    name: str
    function: Function
    items: Sequence[tuple[int, Any]]

    def failed(self, index: int, failure: Failure) -> RunError:
        """The error that ends the run: which item it was, and why."""
        item = next(item for number, item in self.items if number == index)
        return RunError(
            f"item {index} of {self.name} ({item!r:.80}) failed: {failure.kind}: "
            f"{failure.message}\n{failure.trace}"
        )


class Tasks(Protocol):
    """Works on items."""

    def work(self, work: Work, keep: Keep, stopping: Callable[[], bool]) -> None:
        """Work on all items; none is begun any more once somebody wants to stop.

        Raises:
            RunError: an item failed, with the item and the cause.
        """
        ...

    def close(self) -> None:
        """Give back what was taken."""
        ...


class InProcess:
    """One item after another."""

    def work(self, work: Work, keep: Keep, stopping: Callable[[], bool]) -> None:
        """See :class:`Tasks`."""
        for index, item in work.items:
            if stopping():
                return
            done = perform(work.function, item, index)
            if isinstance(done, Failure):
                raise work.failed(index, done)
            keep(index, done)

    def close(self) -> None:
        """Nothing was taken."""


def perform(function: Function, item: Any, index: int) -> Packed | Failure:
    """The result of one item, or why there is none."""
    try:
        return pack(function(item))
    except Exception as error:  # it is the user's code and may raise anything
        return describe(error, index)


@dataclass(frozen=True)
class Place:
    """What a task needs to know of the job, as plain values that travel.

    Attributes:
        base: folder of the job file.
        plugin_files: the user's plugin files, relative path -> content.
        logs: folder for what tasks print, where it is local.
        stores: environment variables that say how object stores are reached.
    """

    base: str
    plugin_files: Mapping[str, bytes]
    logs: Path | None
    stores: Mapping[str, str] = field(default_factory=store_environment)

    def log(self) -> AbstractContextManager[None]:
        """Inside, what is printed goes to a log of this process."""
        if self.logs is None:
            return nullcontext()
        return output_to(self.logs / f"task-{os.getpid()}.log")


class OnRay:
    """As many items side by side as the job says; a cluster is joined at the first call.

    Args:
        cluster: of the job.
        place: what tasks need to know.
    """

    def __init__(self, cluster: TaskCluster, place: Place) -> None:
        self._cluster = cluster
        self._place = place
        self._connected = False
        self._task: Any = None

    def work(self, work: Work, keep: Keep, stopping: Callable[[], bool]) -> None:
        """See :class:`Tasks`."""
        if not work.items:
            return
        self._connect()
        import ray

        function = ray.put(_travelling(work.function, work.name))
        waiting, busy = deque(work.items), dict[Any, int]()
        try:
            while busy or (waiting and not stopping()):
                while waiting and len(busy) < self._cluster.workers and not stopping():
                    index, item = waiting.popleft()
                    packed = _travelling(item, f"item {index} of {work.name}")
                    busy[self._task.remote(self._place, function, packed, index)] = index
                ready, _ = ray.wait(list(busy), timeout=0.25) if busy else ([], [])
                for reference in ready:
                    self._take(reference, busy.pop(reference), work, keep)
        finally:
            for reference in busy:
                ray.cancel(reference, force=True)

    def _take(self, reference: Any, index: int, work: Work, keep: Keep) -> None:
        import ray

        try:
            done = ray.get(reference)
        except ray.exceptions.RayError as error:
            lost = str(error).splitlines()[0]
            retries = self._cluster.max_failures
            message = f"its process was lost, also after {retries} more attempts: {lost}"
            done = Failure(index, type(error).__name__, message, "", "process")
        if isinstance(done, Failure):
            raise work.failed(index, done)
        keep(index, done)

    def _connect(self) -> None:
        if self._task is not None:
            return
        from trainwright.orchestration import on_ray

        cluster = self._cluster
        self._connected = on_ray.connect(cluster)
        on_ray.check_resources(cluster)
        import ray

        environment = worker_environment(cluster.cpus_per_worker, cluster.gpus_per_worker > 0)
        self._task = ray.remote(
            num_cpus=cluster.cpus_per_worker,
            num_gpus=cluster.gpus_per_worker,
            max_retries=cluster.max_failures,
            runtime_env={"env_vars": environment},
        )(_on_worker)

    def close(self) -> None:
        """Leave the cluster, if this object joined it."""
        if self._connected:
            import ray

            ray.shutdown()


def _travelling(what: Any, name: str) -> bytes:
    import cloudpickle

    try:
        content: bytes = cloudpickle.dumps(what)
    except Exception as error:  # whatever an object's own __reduce__ raises
        raise RunError(
            f"{name} cannot be worked on in another process: {error}. Give the function runs "
            "(context.run(NAME)), context.data and plain values"
        ) from error
    return content


def _on_worker(place: Place, function: bytes, item: bytes, index: int) -> Packed | Failure:
    """What Ray calls in another process."""
    import cloudpickle

    adopt(place.stores)
    with place.log():
        try:
            install_plugin_files(place.plugin_files, Path(place.base))
            made, given = cloudpickle.loads(function), cloudpickle.loads(item)
        except Exception as error:  # a module that is missing on this machine, say
            return describe(error, index)
        return perform(made, given, index)
