"""A comparison from beginning to end: every run found or trained, then judged together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from trainwright.compare.board import Board
from trainwright.compare.plan import Plan, PlannedRun, make_plan
from trainwright.compare.pool import Pool, on_cluster, pool_size, train_here
from trainwright.compare.publishing import completed, judged, publish, write_result
from trainwright.compare.results import Comparison
from trainwright.compare.variants import CompareJobFile
from trainwright.errors import InputError, Interrupted, RunError
from trainwright.job.kinds import kind_of
from trainwright.orchestration.light import Ended, Errand
from trainwright.orchestration.live import LiveRecord, true_ending
from trainwright.orchestration.machine import does_not_fit_here
from trainwright.orchestration.prepare import located
from trainwright.orchestration.quiet import QUIET, output_to, set_defaults
from trainwright.orchestration.request import Request
from trainwright.orchestration.shipping import driver_log, shipping
from trainwright.orchestration.signals import StopRequest, catch_signals
from trainwright.orchestration.sole import sole_driver
from trainwright.orchestration.validation import Validation
from trainwright.overview import unsent_remark
from trainwright.runs import JOB, RESOLVED, RunRecord, Status, run_folder
from trainwright.secrets import mask, public_values
from trainwright.storage import Folder
from trainwright.tracking.family import CHILDREN


@dataclass(frozen=True)
class StartedComparison:
    """What is known once a comparison has been found good, before its training starts.

    Attributes:
        plan: its runs.
        folder: the folder of its own run.
        continues: whether an earlier attempt goes on.
        num_kept: runs that are finished already.
    """

    plan: Plan
    folder: Folder
    continues: bool
    num_kept: int


def validate_comparison(job: CompareJobFile) -> Validation:
    """Check every variant of a comparison whole, and name every run; nothing is started.

    Raises:
        InputError: it would not run; every problem has its place in the comparison's file.
    """
    _refuse_too_large(job)
    plan = make_plan(job)
    variants = {name: plan.checked(name) for name in plan.variants}
    finished = [run for run in plan.runs if _is_finished(run)]
    seeds = job.spec.seed_list
    summary = [
        f"{len(plan.variants)} variants x {len(seeds)} seeds: {len(plan.runs)} runs, "
        f"{len(finished)} of them finished already",
        *(f"{name}: {'; '.join(checked.summary)}" for name, checked in variants.items()),
        f"{len(plan.lines)} expectations; table of "
        f"{', '.join(map(str, plan.report)) or 'all that they record'}",
    ]
    remarks = dict.fromkeys(r for checked in variants.values() for r in checked.remarks)
    alone = all(run.is_light for run in plan.runs)
    shown = [] if alone else list(remarks)
    return Validation.of(plan.storage, plan.name, plan.total_steps, summary, shown)


def run_comparison(job: CompareJobFile, request: Request) -> Comparison:
    """Run a comparison: train what is not finished yet, judge, tell.

    Raises:
        InputError: it cannot run; nothing was started.
        RunError: the cluster cannot be used.
        Interrupted: it was asked to stop; runs that were being trained wrote checkpoints.
    """
    set_defaults(QUIET)
    _refuse_too_large(job)
    plan = make_plan(job, fresh=request.fresh, placebo=request.placebo)
    folder = run_folder(plan.storage, plan.name, request.fresh)
    with sole_driver(folder):
        earlier = RunRecord.load(folder)
        todo = [run for run in plan.runs if not _is_finished(run)]
        if request.started is not None:
            kept = len(plan.runs) - len(todo)
            request.started(StartedComparison(plan, folder, earlier is not None, kept))
        if earlier is not None and earlier.status == "finished" and not todo:
            return _judged_again(plan, folder, earlier)
        record = earlier or RunRecord(plan.name)
        record.name = folder.url.rstrip("/").rsplit("/", 1)[-1]
        record.total_steps = plan.total_steps
        record.claim()
        _write_inputs(plan, folder, record)
        return _run(plan, folder, record, request, todo)


def _refuse_too_large(job: CompareJobFile) -> None:
    with located(job):
        problems = does_not_fit_here(job.spec.cluster.as_cluster())
        if problems:
            raise InputError(problems)


def _is_finished(run: PlannedRun) -> bool:
    record = RunRecord.load(run.folder)
    return record is not None and record.status == "finished"


def _write_inputs(plan: Plan, folder: Folder, record: RunRecord) -> None:
    folder.write_bytes(JOB, mask(plan.job.source).encode())
    folder.write_json(RESOLVED, public_values(plan.job.spec))
    names = [run.folder.url.rstrip("/").rsplit("/", 1)[-1] for run in plan.runs]
    folder.write_json(CHILDREN, names)
    record.save(folder)


def _judged_again(plan: Plan, folder: Folder, record: RunRecord) -> Comparison:
    """A finished comparison: expectations may have been edited since, so they are judged anew."""
    result, _ = judged(plan, folder, record)
    write_result(result, folder)
    return replace(result, already_finished=True)


def _run(
    plan: Plan, folder: Folder, record: RunRecord, request: Request, todo: Sequence[PlannedRun]
) -> Comparison:
    result: Comparison | None = None
    with shipping(plan.job, plan.storage, folder, record), true_ending(record, folder):
        live = LiveRecord(record, folder, request.show or (lambda progress: None))
        with live, catch_signals(request.stop) as stop:
            board = Board(plan, live, lambda: stop.requested)
            _train(plan, folder, todo, board, stop)
        record.status, record.error = _verdict(board, stop)
        if record.status != "interrupted":
            with output_to(driver_log(folder)):
                result = publish(plan, folder, record)
            record.metrics = result.metrics
    if result is None:
        raise Interrupted(
            f"stopped with {board.num_finished} of {len(board.runs)} runs finished; the others "
            "wrote checkpoints. The same command continues from there"
        )
    unsent = unsent_remark(folder, record)
    remarks = [*result.remarks, *([unsent] if unsent else [])]
    return replace(completed(result, record), remarks=remarks)


def _verdict(board: Board, stop: StopRequest) -> tuple[Status, str | None]:
    failed = [name for name, run in board.runs.items() if run["state"] == "failed"]
    if failed:
        return "failed", f"{len(failed)} of {len(board.runs)} runs failed: {', '.join(failed)}"
    if stop.requested and board.num_finished < len(board.runs):
        return "interrupted", None
    return "finished", None


def _train(
    plan: Plan, folder: Folder, todo: Sequence[PlannedRun], board: Board, stop: StopRequest
) -> None:
    """Train what is left: single-process runs side by side, then the others one by one."""
    board.tell()
    light = [_errand(run, plan.name) for run in todo if run.is_light]
    here = [run for run in todo if run.is_here and not run.is_light]
    heavy = [run for run in todo if not run.is_here]
    pool = plan.job.spec.cluster
    if pool.workers == 0:
        train_here(light, board, stop)
        light = []
    if here:
        with output_to(driver_log(folder)), located(plan.job):
            _run_whole(here, plan.name, board, stop)
    if not light and not heavy:
        return
    with output_to(driver_log(folder)), located(plan.job), on_cluster(pool) as cpus:
        if light:
            Pool(pool, board, stop).train(light, pool_size(pool, len(light), cpus))
        _run_whole(heavy, plan.name, board, stop)


def _errand(run: PlannedRun, parent: str) -> Errand:
    checked = run.checked
    return Errand.of(run.job, run.folder, parent, checked.plugin_files, checked.total_steps)


def _run_whole(runs: Sequence[PlannedRun], parent: str, board: Board, stop: StopRequest) -> None:
    """Runs as they are alone, one by one; their workers are on the cluster of this process."""
    for run in runs:
        if not stop.requested:
            _run_one(run, parent, board, stop)


def _run_one(run: PlannedRun, parent: str, board: Board, stop: StopRequest) -> None:
    if RunRecord.load(run.folder) is None:
        RunRecord(run.name, parent=parent).save(run.folder)
    board.began(run.name)
    try:
        kind_of(run.job).run(run.job, Request(show=partial(board.progress, run.name)))
    except Interrupted:
        board.ended(run.name, Ended("interrupted"))
        stop.request()
    except (InputError, RunError) as error:
        board.ended(run.name, Ended("failed", str(error)))
    else:
        board.ended(run.name, Ended("finished"))
