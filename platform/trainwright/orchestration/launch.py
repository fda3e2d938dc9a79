"""Running a job from beginning to end: the driver's side."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job import Job
from trainwright.job.identity import HASH_DIGITS
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


def run_job(job: Job, **options: Any) -> RunResult:
    """Train a job; ``options`` are those of a :class:`Request`."""
    return run_training(job, Request(**options))


def run_training(job: Job, request: Request) -> RunResult:
    """Train a job, or continue it where an earlier run of the same job was left.

    Args:
        job: what to train.
        request: how.

    Raises:
        InputError: the job cannot run; nothing was started.
        RunError: training failed; the record and the logs say why.
        Interrupted: training was asked to stop; a checkpoint was written.
    """
    set_defaults(QUIET)
    prepared = prepare(job)
    storage = storage_of(job)
    folder = run_folder(storage, _name(prepared, request), request.fresh)
    record = RunRecord.load(folder)
    if record is not None and record.status == "finished":
        return RunResult.of(folder, record, already_finished=True)
    source = _source(prepared, storage, request)
    with sole_driver(folder):
        record = RunRecord.load(folder)  # a driver that was waited for may have finished it
        if record is not None and record.status == "finished":
            return RunResult.of(folder, record, already_finished=True)
        if request.started is not None:
            resumed_from = source.label if source else None
            request.started(Started(prepared, folder, record is not None, resumed_from))
        record = record or RunRecord(_name(prepared, request), parent=request.parent)
        record.total_steps = prepared.total_steps
        record.resumed_from = source.label if source else record.resumed_from
        claim(folder, job, record, prepared.plugin_files)
        order = _work_order(prepared, folder, source)
        RunCode.of(order.job, order.plugin_files).remember()
        live = LiveRecord(record, folder, request.show or (lambda progress: None))
        return _run(job, storage, folder, record, order, live, request.stop)


def _name(prepared: Prepared, request: Request) -> str:
    """The run's name; one that begins inside another run is not the one that begins anew."""
    if request.start_from is None:
        return prepared.name
    url, checkpoint = request.start_from
    begun = f"{url.rstrip('/').rsplit('/', 1)[-1]} {checkpoint}"
    return f"{prepared.name}-{hashlib.sha256(begun.encode()).hexdigest()[:HASH_DIGITS]}"


def _source(prepared: Prepared, storage: Folder, request: Request) -> Source | None:
    """The checkpoint of another run from which this one begins."""
    if request.start_from is not None:
        url, checkpoint = request.start_from
        return Source(f"{url.rstrip('/').rsplit('/', 1)[-1]}, {checkpoint}", request.start_from)
    return continued_from(prepared, storage, request.resume) if request.resume else None


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
    stop: StopRequest | None,
) -> RunResult:
    with shipping(job, storage, folder, record) as shipper, true_ending(record, folder):
        with live, catch_signals(stop) as asked:
            live.when_lost(asked.request)
            outcome = _train(job, folder, order, live, asked)
            live.check()
        record.metrics, record.steps = outcome.metrics, outcome.steps
        record.total_steps, record.weights = outcome.total_steps, outcome.weights
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
