"""Training on Ray Train: a cluster, a group of workers, and the driver's watch over them."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from trainwright.errors import JobError, RunError
from trainwright.job.models import ClusterSpec, TrainJob
from trainwright.orchestration.failures import Failure, WorkerError, describe, root_cause
from trainwright.orchestration.hangs import (
    explain_hangs,
    forget_hangs,
    read_hangs,
    reporter,
)
from trainwright.orchestration.machine import cpus_here, does_not_fit
from trainwright.orchestration.monitor import BoardActor, RemoteMonitor
from trainwright.orchestration.processes import worker_environment
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.reach import adopt, store_environment
from trainwright.orchestration.signals import keeping_handlers
from trainwright.storage import Folder
from trainwright.training.watchdog import watched
from trainwright.training.worker import Outcome, WorkOrder, work

_log = logging.getLogger(__name__)

ENVIRONMENT = {
    **QUIET,
    "RAY_TRAIN_V2_ENABLED": "1",
    # The controller looks at its workers this often; the default of 2 s delays every start and end.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    # A node that died is still counted as free for this long; the default of a minute is too long.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20",
}

Watch = Callable[[Mapping[str, Any]], bool]
"""Called a few times a second with the newest progress; True asks training to stop."""


def connect(cluster: ClusterSpec) -> bool:
    """Start or join the Ray cluster a job names; a cluster this process is in already is used.

    Returns:
        Whether this call connected, so that the caller should disconnect.

    Raises:
        RunError: the cluster cannot be reached.
    """
    set_defaults(ENVIRONMENT)
    import ray

    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == "local":
        # Without this Ray would write a token file into the home folder.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        options.update(include_dashboard=False, num_cpus=cpus_here())
    try:
        with keeping_handlers():  # Ray's own ends the process at SIGTERM
            ray.init(address=cluster.address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(
            f"no Ray cluster at cluster.address: {cluster.address} ({error}); "
            "start one with `ray start --head`, or use address: local"
        ) from error
    return True


def check_resources(cluster: ClusterSpec) -> None:
    """Refuse a job that can never fit into the cluster, with the arithmetic.

    Raises:
        JobError: more CPUs or GPUs asked for than the cluster has.
    """
    import ray

    problems = does_not_fit(cluster, ray.cluster_resources())
    if problems:
        raise JobError(problems)


def train(job: TrainJob, order: WorkOrder, watch: Watch) -> Outcome:
    """Train on Ray workers, restarting a lost group from its last checkpoint within the budget.

    Raises:
        RunError: code raised on a worker, or workers were lost more often than allowed.
    """
    import ray

    actor = ray.remote(num_cpus=0)(BoardActor).options(
        resources={f"node:{ray.util.get_node_ip_address()}": 0.001}
    )
    board = actor.remote()
    try:
        folder = Folder(order.run_url)
        for lost_before in range(job.cluster.max_failures + 1):
            forget_hangs(folder)
            outcome, failures = _attempt(job, order, board, watch)
            if outcome is not None:
                return outcome
            cause = root_cause(failures)
            hangs = explain_hangs(read_hangs(folder))
            if cause is None or not cause.lost or lost_before == job.cluster.max_failures:
                raise RunError(_explain(cause, hangs, lost_before, job))
            happened = hangs or f"worker {cause.rank} was lost"
            watch({"remark": f"{happened}; restarting from the last checkpoint"})
        raise AssertionError("unreachable")
    finally:
        ray.kill(board)


def _attempt(
    job: TrainJob, order: WorkOrder, board: Any, watch: Watch
) -> tuple[Outcome | None, list[Failure]]:
    """One group of workers, in a side thread: Ray would take over signals in the main one."""
    result: list[Any] = []
    thread = threading.Thread(
        target=lambda: result.append(_fit(job, order, board)), name="ray-train", daemon=True
    )
    thread.start()
    _follow(thread, board, watch)
    outcome: tuple[Outcome | None, list[Failure]] = result[0]
    return outcome


def _follow(thread: threading.Thread, board: Any, watch: Watch) -> None:
    import ray

    stopping = False
    while thread.is_alive():
        thread.join(timeout=0.2)
        with suppress(ray.exceptions.GetTimeoutError):
            if watch(ray.get(board.progress.remote(), timeout=5)) and not stopping:
                stopping = True
                board.request_stop.remote()


def _fit(job: TrainJob, order: WorkOrder, board: Any) -> tuple[Outcome | None, list[Failure]]:
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig
    from ray.train.v2.api.exceptions import TrainingFailedError

    cluster = job.cluster
    uses_gpu = cluster.gpus_per_worker > 0
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    environment |= worker_environment(cluster.cpus_per_worker, uses_gpu)
    resources = {"CPU": cluster.cpus_per_worker}
    if uses_gpu:
        resources["GPU"] = cluster.gpus_per_worker
    with tempfile.TemporaryDirectory(prefix="trainwright-") as scratch:
        trainer = TorchTrainer(
            _on_worker,
            # Not in the runtime environment, which Ray shows and logs: these may be secrets.
            train_loop_config={
                "order": order,
                "board": board,
                "stores": store_environment(),
                "hang_timeout_s": cluster.hang_timeout_s,
            },
            scaling_config=ScalingConfig(
                num_workers=cluster.workers, use_gpu=uses_gpu, resources_per_worker=resources
            ),
            torch_config=TorchConfig(backend="nccl" if uses_gpu else "gloo"),
            run_config=RunConfig(
                name=f"trainwright-{uuid.uuid4().hex[:8]}",
                storage_path=scratch,
                logging_config=LoggingConfig(log_level="ERROR"),
                worker_runtime_env={"env_vars": environment},
            ),
        )
        try:
            return trainer.fit().return_value, []
        except TrainingFailedError as error:
            return None, _failures_of(error)


def _on_worker(config: dict[str, Any]) -> Outcome | None:
    """What Ray calls on every worker."""
    import ray.train
    from ray.train.torch import get_device

    adopt(config["stores"])
    order: WorkOrder = config["order"]
    rank = ray.train.get_context().get_world_rank()
    folder = Folder(order.run_url)
    scratch = None if folder.is_local else tempfile.mkdtemp(prefix="trainwright-logs-")
    log = (folder.local_path() / "logs" if scratch is None else Path(scratch)) / log_name(rank)
    monitor = RemoteMonitor(config["board"]) if rank == 0 else None
    try:
        with output_to(log):
            try:
                with watched(config["hang_timeout_s"], rank, reporter(folder)):
                    outcome = work(order, monitor, get_device())
            except Exception as error:
                failure = describe(error, rank)
                print(failure.trace, flush=True)
                raise WorkerError(failure) from None
        return outcome if rank == 0 else None
    finally:
        if monitor is not None:
            monitor.close()
        if scratch is not None:
            _store_log(folder, rank, log)


def _store_log(folder: Folder, rank: int, log: Path) -> None:
    try:
        folder.write_bytes(f"logs/{log_name(rank)}", log.read_bytes())
    except Exception as error:  # whatever the store's client raises; it must not hide the cause
        _log.warning("%s stays on this machine, for the store refuses it: %s", log, error)


def log_name(rank: int) -> str:
    """File name of a worker's log inside the run's ``logs`` folder."""
    return f"worker-{rank}.log"


def _failures_of(error: Any) -> list[Failure]:
    """Every worker's failure; an error of Ray's own counts as a lost worker."""
    workers: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    found = []
    for rank, failure in workers.items():
        cause: BaseException = getattr(failure, "cause", None) or failure
        if isinstance(failure, WorkerError):
            cause = failure
        if isinstance(cause, WorkerError):
            found.append(cause.failure)
        else:
            lost = describe(cause, rank)
            found.append(Failure(rank, lost.kind, lost.message, lost.trace, lost=True))
    return found or [Failure(0, type(error).__name__, str(error), "", lost=True)]


def _explain(cause: Failure | None, hangs: str, restarts: int, job: TrainJob) -> str:
    if cause is None:
        return "the workers ended without a result"
    if cause.lost:
        lost = f"worker {cause.rank} was lost ({cause.kind}: {cause.message.splitlines()[0]})"
        return (
            f"{hangs or lost} and {restarts} restarts did not help; "
            f"cluster.max_failures is {job.cluster.max_failures}"
        )
    return f"worker {cause.rank} failed: {cause.kind}: {cause.message}\n{cause.trace}"
