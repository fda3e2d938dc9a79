"""Running a job from beginning to end: the driver's side."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job import Job
from trainwright.orchestration.anchoring import anchored
from trainwright.orchestration.claiming import claim
from trainwright.orchestration.failures import describe
from trainwright.orchestration.finishing import finish
from trainwright.orchestration.live import LiveRecord, Show, showing, true_ending
from trainwright.orchestration.monitor import LocalMonitor
from trainwright.orchestration.prepare import Prepared, located, prepare, storage_of
from trainwright.orchestration.processes import reuse_memory
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.request import Request
from trainwright.orchestration.result import RunResult
from trainwright.orchestration.resuming import Source, continued_from
from trainwright.orchestration.run_code import RunCode
from trainwright.orchestration.shipping import driver_log, shipping
from trainwright.orchestration.signals import StopRequest, catch_signals
from trainwright.orchestration.sole import sole_driver
from trainwright.overview import unsent_remark
from trainwright.runs import RunRecord, run_folder
from trainwright.secrets import secrets_in
from trainwright.storage import Folder
from trainwright.tracking import ShipperProcess
from trainwright.training.worker import Outcome, WorkOrder, work


@dataclass(frozen=True)
class Started:
    """What is known once a job has been found good, before its training starts.

    Attributes:
        prepared: the checked job.
        folder: the run's folder.
        continues: whether an earlier attempt of the same run goes on.
        resumed_from: ``RUN@STEP`` when training goes on from another run.
    """

    prepared: Prepared
    folder: Folder
    continues: bool
    resumed_from: str | None


def run_training(job: Job, request: Request) -> RunResult:
    """Run a job of kind ``train`` as ``request`` says; raises what ``run_job`` raises."""
    return run_job(
        job,
        fresh=request.fresh,
        resume=request.resume,
        show=request.show,
        started=request.started,
    )


def run_job(
    job: Job,
    *,
    fresh: bool = False,
    resume: str | None = None,
    show: Show | None = None,
    started: Callable[[Started], None] | None = None,
) -> RunResult:
    """Train a job, or continue it where an earlier run of the same job was left.

    Args:
        job: what to train.
        fresh: start anew beside an earlier run of the same name, which is kept.
        resume: another run to continue from under this (changed) job.
        show: called a few times a second with the newest progress.
        started: called once the job has been found good, before anything starts.

    Raises:
        InputError: the job cannot run; nothing was started.
        RunError: training failed; the record and the logs say why.
        Interrupted: training was asked to stop; a checkpoint was written.
    """
    set_defaults(QUIET)
    prepared = prepare(job)
    storage = storage_of(job)
    folder = run_folder(storage, prepared.name, fresh)
    record = RunRecord.load(folder)
    if record is not None and record.status == "finished":
        return RunResult.of(folder, record, already_finished=True)
    source = continued_from(prepared, storage, resume) if resume else None
    with sole_driver(folder):
        record = RunRecord.load(folder)  # a driver that was waited for may have finished it
        if record is not None and record.status == "finished":
            return RunResult.of(folder, record, already_finished=True)
        if started is not None:
            resumed_from = source.label if source else None
            started(Started(prepared, folder, record is not None, resumed_from))
        record = record or RunRecord(name=prepared.name)
        record.total_steps = prepared.total_steps
        record.resumed_from = source.label if source else record.resumed_from
        claim(folder, job, record, prepared.plugin_files)
        order = _work_order(prepared, folder, source)
        RunCode.of(order.job, order.plugin_files).remember()
        live = LiveRecord(record, folder, show or (lambda progress: None))
        return _run(job, storage, folder, record, order, live)


def _work_order(prepared: Prepared, folder: Folder, source: Source | None) -> WorkOrder:
    values = anchored(prepared.job.spec, prepared.job.base).model_dump(mode="json", by_alias=True)
    return WorkOrder(
        job=values,
        base=str(prepared.job.base),
        run_url=folder.url,
        plugin_files=prepared.plugin_files,
        start_from=source.place if source else None,
        weights=start.kept_in(folder) if (start := prepared.start) else None,
        concealed=secrets_in(json.dumps(values)),
    )


def _run(
    job: Job,
    storage: Folder,
    folder: Folder,
    record: RunRecord,
    order: WorkOrder,
    live: LiveRecord,
) -> RunResult:
    with shipping(job, storage, folder, record) as shipper, true_ending(record, folder):
        with live, catch_signals() as stop:
            live.when_lost(stop.request)
            outcome = _train(job, folder, order, live, stop)
            live.check()
        record.metrics, record.steps = outcome.metrics, outcome.steps
        record.total_steps = outcome.total_steps
        remarks = [*outcome.warnings, *finish(folder)]
        if outcome.complete and shipper is not None:
            remarks += _publish(job, folder, shipper)
        # Only now: a run that says it is finished is never touched again.
        record.status = "finished" if outcome.complete else "interrupted"
    if not outcome.complete:
        raise Interrupted(
            f"stopped at step {outcome.steps} of {outcome.total_steps}; a checkpoint was written. "
            "The same command continues from there"
        )
    unsent = unsent_remark(folder, record)
    return RunResult.of(folder, record, remarks=[*remarks, *([unsent] if unsent else [])])


def _train(job: Job, folder: Folder, order: WorkOrder, show: Show, stop: StopRequest) -> Outcome:
    spec = job.spec
    if spec.cluster.max_workers == 0:
        return _train_here(folder, order, show, stop)
    from trainwright.orchestration import on_ray

    def watch(progress: Mapping[str, Any]) -> bool:
        show({**progress, "stopping": stop.requested})
        return stop.requested

    connected = False
    with output_to(driver_log(folder)):
        connected = on_ray.connect(spec.cluster)
        try:
            with located(job):
                on_ray.check_resources(spec.cluster)
            return on_ray.train(spec, order, watch)
        finally:
            if connected:
                import ray

                ray.shutdown()


def _train_here(folder: Folder, order: WorkOrder, show: Show, stop: StopRequest) -> Outcome:
    """Train in this process; a thread shows progress, signals set the monitor's flag."""
    reuse_memory()
    monitor = LocalMonitor()
    stop.on_request(monitor.request_stop)
    with showing(monitor, show), output_to(driver_log(folder)):
        try:
            return work(order, monitor)
        except (InputError, KeyboardInterrupt):
            raise
        except Exception as error:
            failure = describe(error, rank=0)
            print(failure.trace, file=sys.stderr)
            raise RunError(
                f"training failed: {failure.kind}: {failure.message}\n{failure.trace}"
            ) from error


def _publish(job: Job, folder: Folder, shipper: ShipperProcess) -> list[str]:
    """The model in MLflow, if the job asks for it; what went wrong is told and not fatal."""
    if job.spec.tracking.log_model == "never":
        return []
    from trainwright.orchestration.publishing import publish_model

    with output_to(driver_log(folder)):
        try:
            remark = publish_model(job, folder, shipper)
        except Exception as error:  # a finished training must not turn into a failed one here
            remark = f"the model was not stored in MLflow: {type(error).__name__}: {error}"
    return [remark] if remark else []
