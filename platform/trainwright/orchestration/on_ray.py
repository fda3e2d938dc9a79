"""Training on Ray Train: a cluster, and groups of workers until training is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from trainwright.checkpoint import CheckpointStore
from trainwright.errors import JobError, RunError
from trainwright.job.cluster_spec import Processes
from trainwright.job.models import ClusterSpec, TrainJob
from trainwright.orchestration.aftermath import aftermath
from trainwright.orchestration.attempt import Ended, attempt, board_here
from trainwright.orchestration.budget import Budget, Incident
from trainwright.orchestration.environment import ENVIRONMENT
from trainwright.orchestration.growth import room_for
from trainwright.orchestration.hangs import forget_hangs
from trainwright.orchestration.machine import cpus_here, does_not_fit
from trainwright.orchestration.nodes import dead_nodes, wait_until_noticed
from trainwright.orchestration.on_worker import Orders
from trainwright.orchestration.quiet import set_defaults
from trainwright.orchestration.reach import store_environment
from trainwright.orchestration.signals import keeping_handlers
from trainwright.orchestration.tokens import refusal, set_mode
from trainwright.orchestration.waiting import Watch, wait_for_storage
from trainwright.storage import Folder
from trainwright.training.worker import Outcome, WorkOrder


def connect(cluster: Processes) -> bool:
    """Start or join the Ray cluster a job names; a cluster this process is in already is used.

    Returns:
        Whether this call connected, so that the caller should disconnect.

    Raises:
        RunError: the cluster cannot be reached.
    """
    set_defaults(ENVIRONMENT)
    set_mode(cluster.address)  # Ray reads it when it is imported
    import ray

    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if cluster.address == "local":
        options.update(include_dashboard=False, num_cpus=cpus_here())
    try:
        with keeping_handlers():  # Ray's own ends the process at SIGTERM
            ray.init(address=cluster.address, **options)
    except (
        ConnectionError,
        RuntimeError,
        ValueError,
        ray.exceptions.AuthenticationError,
    ) as error:
        raise RunError(refusal(cluster.address, error)) from error
    return True


def check_resources(cluster: Processes) -> None:
    """Refuse a job that can never fit into the cluster, with the arithmetic.

    Raises:
        JobError: more CPUs or GPUs asked for than the cluster has.
    """
    import ray

    problems = does_not_fit(cluster, ray.cluster_resources())
    if problems:
        raise JobError(problems)


def train(job: TrainJob, order: WorkOrder, watch: Watch) -> Outcome:
    """Train on Ray workers, restarting a lost group from its last checkpoint within the budgets.

    Raises:
        RunError: code raised on a worker, workers or nodes were lost more often than allowed, or
            there was no room for them.
        Interrupted: it was asked to stop while no workers ran.
    """
    folder = Folder(order.run_url)
    budget = Budget(job.cluster, _newest_step(folder))
    with board_here() as board:
        while True:
            orders = Orders(order, board, store_environment(), job.cluster.hang_timeout_s)
            forget_hangs(folder)
            board.begin.remote()
            workers = room_for(job.cluster, watch)
            watch({"workers": workers, **_size(job.cluster, workers)})
            ended = attempt(orders, job.cluster, workers, watch)
            if ended.outcome is not None and (ended.outcome.complete or ended.stopped):
                return ended.outcome
            if ended.outcome is not None and ended.more:
                order = replace(order, news=_growth(ended.outcome.steps, ended.more))
                watch({"remark": order.news})
            elif not ended.found_no_room:
                if all(failure.lost for failure in ended.failures):
                    wait_until_noticed()
                    wait_for_storage(folder, job.cluster.room_timeout_s, watch)
                incident = _judge(ended, folder, budget)
                watch({"remark": f"{incident.what}; restarting from the last checkpoint"})
                order = replace(order, news=str(incident))


def _growth(step: int, more: int) -> str:
    workers = "one more worker" if more == 1 else f"{more} more workers"
    return f"there was room for {workers}: saved at step {step} to go on with them"


def _size(cluster: ClusterSpec, workers: int) -> dict[str, str]:
    """A remark on the number of workers, where the cluster has decided it."""
    if not cluster.is_elastic:
        return {}
    number = "one worker" if workers == 1 else f"{workers} workers"
    return {"remark": f"training on {number} of at most {cluster.max_workers}"}


def _judge(ended: Ended, folder: Folder, budget: Budget) -> Incident:
    """What happened, if training may be started again after it; else raises why not."""
    incident, told = _account(ended, folder)
    if incident is None:
        raise RunError(told)
    if not budget.allows(incident, _newest_step(folder)):
        raise RunError("\n".join(filter(None, (budget.explain(), told))))
    return incident


def _account(ended: Ended, folder: Folder) -> tuple[Incident | None, str]:
    if ended.outcome is not None:
        leaving = [f"worker {rank}" for rank, seen in ended.vitals.items() if seen.leaving]
        who = " and ".join(leaving) or "a worker's node"
        return Incident("node", f"{who} was asked to end, and training was saved before"), ""
    found = aftermath(ended.failures, ended.vitals, dead_nodes(), folder)
    return found.incident, found.told


def _newest_step(folder: Folder) -> int:
    """Of the newest checkpoint; 0 for none."""
    return max((checkpoint.step for checkpoint in CheckpointStore(folder).list()), default=0)
