"""A federation from beginning to end: checked, run or continued, recorded."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.errors import Interrupted
from trainwright.federated.execution import execute
from trainwright.federated.plan import Plan, make_plan
from trainwright.federated.population.partition_file import keep_partition
from trainwright.federated.population.partition_plots import NAME as PARTITION_PLOT
from trainwright.federated.population.partition_plots import plot_partition
from trainwright.federated.spec import FederatedJob
from trainwright.job import Job
from trainwright.orchestration.claiming import claim
from trainwright.orchestration.finishing import finish
from trainwright.orchestration.live import LiveRecord, showing, true_ending
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.prepare import located
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.request import Request
from trainwright.orchestration.result import RunResult
from trainwright.orchestration.run_code import RunCode
from trainwright.orchestration.shipping import driver_log, shipping
from trainwright.orchestration.signals import catch_signals
from trainwright.orchestration.sole import sole_driver
from trainwright.orchestration.validation import Validation
from trainwright.overview import unsent_remark
from trainwright.runs import RunRecord, run_folder
from trainwright.storage import Folder


@dataclass(frozen=True)
class StartedFederation:
    """What is known once a federation has been found good, before it starts.

    Attributes:
        prepared: the plan, under the name that the screen of a training knows.
        folder: the run's folder.
        continues: whether an earlier attempt of the same run goes on.
        resumed_from: always None; a federation is continued under its own job alone.
    """

    prepared: Plan
    folder: Folder
    continues: bool
    resumed_from: str | None = None


def validate_federation(job: Job[FederatedJob]) -> Validation:
    """Check a federation whole; nothing is started or written.

    Raises:
        InputError: it would not run; every problem is in its ``problems``.
    """
    plan = make_plan(job)
    rounds = plan.parts.rounds
    return Validation.of(plan.storage, plan.name, rounds, plan.summary, plan.remarks, "rounds")


def run_federation(job: Job[FederatedJob], request: Request) -> RunResult:
    """Run a federation, or continue it from its newest checkpoint.

    Raises:
        InputError: it cannot run; nothing was started.
        RunError: it failed; the record and the logs say why.
        Interrupted: it was asked to stop; a checkpoint was written.
    """
    set_defaults(QUIET)
    plan = make_plan(job)
    folder = run_folder(plan.storage, plan.name, request.fresh)
    record = RunRecord.load(folder)
    if record is not None and record.status == "finished":
        return RunResult.of(folder, record, already_finished=True)
    with sole_driver(folder):
        record = RunRecord.load(folder)  # a driver that was waited for may have finished it
        if record is not None and record.status == "finished":
            return RunResult.of(folder, record, already_finished=True)
        if request.started is not None:
            request.started(StartedFederation(plan, folder, record is not None))
        record = record or RunRecord(plan.name, parent=request.parent)
        record.unit, record.total_steps = "rounds", plan.parts.rounds
        record.workers = job.spec.cluster.workers
        claim(folder, job, record, plan.plugin_files)
        RunCode.of(plan.client_values(), plan.plugin_files).remember()
        keep_partition(folder, plan.parts.rows.partition, plan.parts.table)
        return _run(plan, folder, record, request)


def _draw_partition(plan: Plan, folder: Folder) -> list[str]:
    """Draw who has what, so that it is there at once; a remark where that fails."""
    if folder.exists(PARTITION_PLOT):
        return []
    try:
        with output_to(driver_log(folder)):
            plot_partition(folder, plan.parts.rows.partition, plan.parts.table)
    except Exception as error:  # a picture is never worth a failed run
        return [f"the partition could not be drawn: {type(error).__name__}: {error}"]
    return []


def _run(plan: Plan, folder: Folder, record: RunRecord, request: Request) -> RunResult:
    with shipping(plan.job, plan.storage, folder, record), true_ending(record, folder):
        remarks = _draw_partition(plan, folder)
        live = LiveRecord(record, folder, request.show or (lambda progress: None))
        monitor = LocalMonitor()
        with live, catch_signals(request.stop) as stop, showing(monitor, live):
            stop.on_request(monitor.request_stop)
            live.when_lost(monitor.request_stop)
            with output_to(driver_log(folder)), located(plan.job):
                done = execute(plan, folder, monitor)
            live.check()
        record.metrics, record.steps = done.metrics, done.rounds
        remarks += [*done.remarks, *finish(folder)]
        record.status = "finished" if done.is_complete else "interrupted"
    if not done.is_complete:
        raise Interrupted(
            f"stopped after round {record.steps} of {record.total_steps}; a checkpoint was "
            "written. The same command continues from there"
        )
    unsent = unsent_remark(folder, record)
    return RunResult.of(folder, record, remarks=[*remarks, *([unsent] if unsent else [])])
