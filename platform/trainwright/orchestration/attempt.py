"""One group of Ray workers, from its start to its end, and the driver's watch over it."""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainwright.job.models import ClusterSpec
from trainwright.orchestration.environment import ENVIRONMENT, told_of
from trainwright.orchestration.failures import Failure
from trainwright.orchestration.growth import Growth
from trainwright.orchestration.lean_trainer import lean_trainer
from trainwright.orchestration.monitor import BoardActor
from trainwright.orchestration.nodes import draining_nodes
from trainwright.orchestration.on_worker import Orders, on_worker
from trainwright.orchestration.processes import worker_environment
from trainwright.orchestration.ray_errors import failures_of
from trainwright.orchestration.room import free_reserved, resources_of
from trainwright.orchestration.vitals import Vitals
from trainwright.orchestration.waiting import Watch
from trainwright.training.worker import Outcome

SECONDS_BETWEEN_LOOKS = 2.0


@dataclass(frozen=True)
class Ended:
    """How a group of workers ended.

    Attributes:
        outcome: what worker 0 said at its end; None for a group that failed.
        stopped: whether the driver asked it to stop, rather than a node that has to go.
        failures: of the workers that are known to have failed.
        vitals: of the workers, as far as they told.
        more: workers for whom there was further room, so that it was asked to stop; 0 for none.
    """

    outcome: Outcome | None
    stopped: bool
    failures: list[Failure] = field(default_factory=list)
    vitals: Mapping[int, Vitals] = field(default_factory=dict)
    more: int = 0

    @property
    def found_no_room(self) -> bool:
        """Whether nothing was started, for somebody else had taken the room."""
        causes = [failure.cause for failure in self.failures]
        return self.outcome is None and bool(causes) and set(causes) == {"room"}


@contextlib.contextmanager
def board_here() -> Iterator[Any]:
    """The driver's end of the line to its workers, an actor on the driver's own node."""
    import ray

    board = (
        ray.remote(num_cpus=0, max_restarts=-1)(BoardActor)
        .options(resources={f"node:{ray.util.get_node_ip_address()}": 0.001})
        .remote()
    )
    try:
        yield board
    finally:
        ray.kill(board)


def attempt(orders: Orders, cluster: ClusterSpec, workers: int, watch: Watch) -> Ended:
    """Start a group of workers and watch it until it ends.

    Ray would take over signals in the main thread, so that the group has one of its own.

    Args:
        orders: for every worker.
        cluster: says what a worker takes.
        workers: how many.
        watch: gets the newest progress.
    """
    fit, growth = _Fit(orders, cluster, workers), Growth(cluster, workers)
    try:
        stopped, more = _follow(fit, orders.board, watch, growth)
    finally:
        growth.end()
    if fit.error is not None:
        raise fit.error
    vitals = _vitals(orders.board)
    if fit.failures:
        # Who frees it is Ray Train's controller, which may have died.
        free_reserved({seen.reserved for seen in vitals.values()})
    return Ended(fit.outcome, stopped, fit.failures, vitals, more)


class _Fit(threading.Thread):
    """Ray Train's work; afterwards it has an outcome, failures, or an error of another kind."""

    def __init__(self, orders: Orders, cluster: ClusterSpec, workers: int) -> None:
        super().__init__(name="ray-train", daemon=True)
        self.outcome: Outcome | None = None
        self.failures: list[Failure] = []
        self.error: BaseException | None = None
        self._orders = orders
        self._cluster = cluster
        self._workers = workers
        self.start()

    def run(self) -> None:
        from ray.exceptions import RayError
        from ray.train.v2.api.exceptions import TrainingFailedError

        try:
            with (
                told_of(self._workers),
                tempfile.TemporaryDirectory(prefix="trainwright-") as scratch,
            ):
                self.outcome = self._trainer(scratch).fit().return_value
        except (TrainingFailedError, RayError) as error:
            self.failures = failures_of(error)
        except BaseException as error:  # raised again in the thread that waits for this one
            self.error = error

    def _trainer(self, scratch: str) -> Any:
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig
        from ray.train.v2.api.config import LoggingConfig

        cluster = self._cluster
        uses_gpu = cluster.gpus_per_worker > 0
        environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        environment |= worker_environment(cluster.cpus_per_worker, uses_gpu)
        return lean_trainer(
            on_worker,
            # Not in the runtime environment, which Ray shows and logs: there may be secrets.
            train_loop_config={"orders": self._orders},
            scaling_config=ScalingConfig(
                num_workers=self._workers,
                use_gpu=uses_gpu,
                resources_per_worker=resources_of(cluster),
            ),
            torch_config=TorchConfig(backend="nccl" if uses_gpu else "gloo"),
            run_config=RunConfig(
                name=f"trainwright-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                logging_config=LoggingConfig(log_level="ERROR"),
                worker_runtime_env={"env_vars": environment},
                # What is tried again, and how often, is decided by this driver alone.
                failure_config=FailureConfig(
                    max_failures=0, controller_failure_limit=0, max_preemption_failures=0
                ),
            ),
        )


def _follow(fit: _Fit, board: Any, watch: Watch, growth: Growth) -> tuple[bool, int]:
    """Watch until the group has ended.

    Returns:
        Whether it was asked to stop, and for how many more workers it was.
    """
    import ray

    stopping, more, looked = False, 0, time.monotonic()
    while fit.is_alive():
        fit.join(timeout=0.2)
        progress: dict[str, Any] = {}
        # A board that died is started again, and knows nothing yet.
        with contextlib.suppress(ray.exceptions.RayError):
            progress = ray.get(board.progress.remote(), timeout=5)
        stopping = watch(progress) or stopping
        if stopping:
            board.request_stop.remote()
        elif time.monotonic() - looked > SECONDS_BETWEEN_LOOKS:
            looked, vitals = time.monotonic(), _vitals(board)
            more = more or growth.more(progress, len(vitals))
            if more or _is_about_to_lose_a_node(vitals):
                board.request_stop.remote()
    return stopping, more


def _is_about_to_lose_a_node(vitals: Mapping[int, Vitals]) -> bool:
    draining = draining_nodes()
    return any(seen.node in draining for seen in vitals.values())


def _vitals(board: Any) -> dict[int, Vitals]:
    import ray

    try:
        vitals: dict[int, Vitals] = ray.get(board.vitals.remote(), timeout=5)
    except ray.exceptions.RayError:
        return {}
    return vitals
