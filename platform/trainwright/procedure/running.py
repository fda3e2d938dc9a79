"""A procedure from beginning to end: checked, run or continued, recorded."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass

from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job import Job
from trainwright.orchestration.claiming import claim
from trainwright.orchestration.live import LiveRecord, showing, true_ending
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.prepare import located
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.request import Request
from trainwright.orchestration.result import RunResult
from trainwright.orchestration.shipping import driver_log, shipping
from trainwright.orchestration.signals import catch_signals
from trainwright.orchestration.sole import sole_driver
from trainwright.orchestration.validation import Validation
from trainwright.overview import unsent_remark
from trainwright.procedure.context import ProcedureContext, Stopped, Workshop
from trainwright.procedure.own_runs import train
from trainwright.procedure.plan import Plan, make_plan
from trainwright.procedure.results import numbers
from trainwright.procedure.spec import ProcedureJob
from trainwright.procedure.steps import Steps
from trainwright.procedure.tasks import InProcess, OnRay, Place, Tasks
from trainwright.procedure.threads import threads_of
from trainwright.runs import RunRecord, run_folder
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, next_attempt


@dataclass(frozen=True)
class StartedProcedure:
    """What is known once a procedure has been found good, before it starts.

    Attributes:
        plan: what will be done.
        folder: the run's folder.
        num_recorded: steps that earlier attempts recorded.
    """

    plan: Plan
    folder: Folder
    num_recorded: int


def validate_procedure(job: Job[ProcedureJob]) -> Validation:
    """Check a procedure's job whole; nothing is started or written.

    Raises:
        InputError: it would not run; every problem is in its ``problems``.
    """
    plan = make_plan(job)
    return Validation.of(plan.storage, plan.name, 0, plan.summary, [])


def run_procedure(job: Job[ProcedureJob], request: Request) -> RunResult:
    """Run a procedure, or continue it from its recorded steps.

    Raises:
        InputError: it cannot run; nothing was started.
        RunError: it failed; the record and the logs say why.
        Interrupted: it was asked to stop; recorded steps stay.
    """
    set_defaults(QUIET)
    plan = make_plan(job)
    folder = run_folder(plan.storage, plan.name, request.fresh)
    record = RunRecord.load(folder)
    if record is not None and record.status == "finished":
        return RunResult.of(folder, record, already_finished=True)
    if plan.untrained:
        train(plan.untrained.values())
        plan = make_plan(job)
    with sole_driver(folder):
        record = RunRecord.load(folder)  # a driver that was waited for may have finished it
        if record is not None and record.status == "finished":
            return RunResult.of(folder, record, already_finished=True)
        steps = Steps(folder)
        if request.started is not None:
            request.started(StartedProcedure(plan, folder, len(steps)))
        record = record or RunRecord(plan.name, parent=request.parent)
        claim(folder, job, record, plan.plugin_files)
        return _run(plan, folder, record, steps, request)


def _run(
    plan: Plan, folder: Folder, record: RunRecord, steps: Steps, request: Request
) -> RunResult:
    with shipping(plan.job, plan.storage, folder, record), true_ending(record, folder):
        live = LiveRecord(record, folder, request.show or (lambda progress: None))
        monitor = LocalMonitor()
        with live, catch_signals(request.stop) as stop, showing(monitor, live):
            stop.on_request(monitor.request_stop)
            found = _execute(plan, folder, steps, monitor)
        record.steps = len(steps)
        record.total_steps = max(record.total_steps, record.steps)
        if found is not None:
            record.metrics = found
            record.total_steps = record.steps
        record.status = "finished" if found is not None else "interrupted"
    if found is None:
        raise Interrupted(
            f"stopped with {len(steps)} steps recorded. The same command continues from there"
        )
    unsent = unsent_remark(folder, record)
    return RunResult.of(folder, record, remarks=[unsent] if unsent else [])


def _execute(
    plan: Plan, folder: Folder, steps: Steps, monitor: LocalMonitor
) -> dict[str, float] | None:
    """What the procedure found; None if it was stopped before."""
    # It says everything again from its start, and this attempt's word is the one that counts.
    journal = JournalWriter(folder, next_attempt(folder), [], 1)
    with output_to(driver_log(folder)), located(plan.job), journal, _tasks(plan, folder) as tasks:
        for name, run in plan.inputs.runs.items():
            journal.event(f"{name} is {run.name}, {run.checkpoint_name}")
        workshop = Workshop(folder, steps, tasks, journal, monitor)
        try:
            found = numbers(plan.procedure.run(ProcedureContext(plan.inputs, workshop)))
        except Stopped:
            return None
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:  # it is the user's code and may raise anything
            failure = error if isinstance(error, RunError) else RunError(_failed(error))
            print(failure, file=sys.stderr)
            raise failure from None if failure is error else error
        if found:
            journal.metrics(0, found)
        return found


def _failed(error: Exception) -> str:
    trace = "".join(traceback.format_exception(error))
    return f"the procedure failed: {type(error).__name__}: {error}\n{trace}"


@contextlib.contextmanager
def _tasks(plan: Plan, folder: Folder) -> Iterator[Tasks]:
    """What works on the items of ``map``."""
    cluster = plan.job.spec.cluster
    logs = folder.local_path() / "logs" if folder.is_local else None
    tasks: Tasks = InProcess()
    if cluster.workers:
        tasks = OnRay(cluster, Place(str(plan.job.base), plan.plugin_files, logs))
    try:
        with threads_of(cluster.cpus_per_worker):
            yield tasks
    finally:
        tasks.close()
