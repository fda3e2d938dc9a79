"""One worker of a run, from an empty process to the end of training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trainwright.checkpoint import CheckpointWriter
from trainwright.data.loading import Splits, load_splits
from trainwright.engine import Engine, EngineSettings, make_engine
from trainwright.errors import RunError
from trainwright.job.models import TrainJob
from trainwright.plugins import install_plugin_files
from trainwright.secrets import conceal
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.tracking import JournalWriter
from trainwright.tracking.system import SystemSampler
from trainwright.training.assembling import assemble_in_parts
from trainwright.training.assembly import Assembly
from trainwright.training.compiling import compile_model
from trainwright.training.guard import Guard, NumericsError, Rewind
from trainwright.training.keeping import Keeper
from trainwright.training.loop import Loop
from trainwright.training.loops import make_loop
from trainwright.training.metrics import LateMetrics, build_metrics, monitored
from trainwright.training.phases import Phases
from trainwright.training.progress import Progress
from trainwright.training.randomness import deterministic_kernels
from trainwright.training.recorder import Monitor, Recorder
from trainwright.training.resuming import Start, starting_point
from trainwright.training.samples import JobSamples
from trainwright.training.saving import Holdings, Saver, constants_of, restore
from trainwright.training.starting import Place
from trainwright.training.telling import Teller


@dataclass(frozen=True)
class WorkOrder:
    """What the driver tells every worker; plain values that travel to other machines.

    Attributes:
        job: the resolved job as JSON values.
        base: folder of the job file on the driver's machine.
        run_url: the run's folder.
        plugin_files: path relative to ``base`` -> content of the user's plugin files.
        start_from: URL of another run's folder to continue from, and the checkpoint's name.
        weights: starting weights of the model.
        news: what ended the attempt before, for the journal.
        concealed: values from the driver's environment that no file or message may show.
        checkpoint_pace_s: seconds that pass between two checkpoints at least, the last and the
            best ones aside; more than 0 only where one worker trains.
    """

    job: dict[str, Any]
    base: str
    run_url: str
    plugin_files: dict[str, bytes] = field(default_factory=dict)
    start_from: tuple[str, str] | None = None
    weights: Place | None = None
    news: str | None = None
    concealed: tuple[str, ...] = ()
    checkpoint_pace_s: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What worker 0 tells the driver at the end.

    Attributes:
        complete: False when training was asked to stop before its end.
        steps: updates finished.
        total_steps: updates planned, as far as phases have been asked for.
        metrics: newest value of each evaluated metric and of the training loss.
        attempt: number of the attempt that came to the end.
        warnings: remarks for the user (a damaged checkpoint that was passed over).
        weights: trainable weights of the model and the objective.
    """

    complete: bool
    steps: int
    total_steps: int
    metrics: dict[str, float]
    attempt: int
    warnings: list[str]
    weights: int = 0


def work(
    order: WorkOrder,
    monitor: Monitor | None,
    device: torch.device | None = None,
    splits: Splits | None = None,
) -> Outcome:
    """Train one run on this worker; every worker calls it, worker 0 with a monitor.

    Args:
        order: what to do.
        monitor: worker 0's line to the driver.
        device: the GPU that is this worker's, where the launcher knows.
        splits: the job's data, where this process has it already.
    """
    conceal(*order.concealed)
    rank, world_size = _place()
    job = TrainJob.model_validate(order.job)
    base = install_plugin_files(order.plugin_files, Path(order.base))
    device = _device(job, device)
    if splits is None:
        splits = load_splits(job.data, base=base, workers=world_size, seed=job.seed)
    guard = Guard(
        job.training.on_non_finite,
        job.training.max_skipped,
        with_gradients=job.training.precision != "fp16",
    )
    told = [order.news] if order.news else []
    while True:
        context = Context(seed=job.seed, rank=rank, world_size=world_size, device=device)
        try:
            with deterministic_kernels(job.training.deterministic):
                outcome = _attempt(order, job, base, splits, context, guard, told, monitor)
            return replace(outcome, warnings=[*told[:-1], *outcome.warnings])
        except Rewind as rewind:
            guard = replace(guard, until=rewind.until)
            told.append(f"{rewind}: training went back to the newest checkpoint")


def _attempt(
    order: WorkOrder,
    job: TrainJob,
    base: Path,
    splits: Splits,
    context: Context,
    guard: Guard,
    told: list[str],
    monitor: Monitor | None,
) -> Outcome:
    """Train from the newest checkpoint on, to the end or to a rewind."""
    folder = Folder(order.run_url)
    start = starting_point(folder, context.rank, order.start_from)
    context.cut_for = start.cut_for or max(job.cluster.max_workers, context.world_size)
    assembly, deferred, remarks = assemble_in_parts(job, base, splits, context, order.weights)
    context.data = JobSamples(lambda: splits, assembly.module.model)
    # Under ZeRO 3 the engine leaves each worker a part of every parameter.
    weights = sum(p.numel() for p in assembly.module.parameters() if p.requires_grad)
    settings = EngineSettings(
        precision=job.training.precision,
        max_grad_norm=assembly.plan.max_grad_norm,
        device=context.device,
        rank=context.rank,
        world_size=context.world_size,
        deepspeed=job.deepspeed,
    )
    if job.training.compile is not None:
        compile_model(assembly.module.model.model, job.training.compile, context.device)
    engine = make_engine(job, assembly.module, assembly.optimizer, settings, deferred)
    start.remarks.extend([*remarks, *told[-1:]])
    with _journal(folder, start, context.rank, context.world_size) as journal:
        outcome = _train(order, assembly, engine, base, start, guard, journal, monitor)
        return replace(outcome, weights=weights)


@contextmanager
def _journal(
    folder: Folder, start: Start, rank: int, world_size: int
) -> Iterator[JournalWriter | None]:
    """Worker 0's journal of one attempt."""
    if rank != 0:
        yield None
        return
    with JournalWriter(folder, start.attempt, start.lineage, world_size) as journal:
        for remark in start.remarks:
            journal.event(remark)
        if start.checkpoint is not None and start.checkpoint.world_size != world_size:
            before, step = start.checkpoint.world_size, start.checkpoint.step
            workers = "1 worker" if world_size == 1 else f"{world_size} workers"
            journal.event(f"training goes on with {workers} instead of {before}", step)
        yield journal


@contextmanager
def _system_metrics(
    job: TrainJob, journal: JournalWriter | None, progress: Progress
) -> Iterator[None]:
    if journal is None or not job.tracking.system_metrics:
        yield
        return
    sampler = SystemSampler(journal, lambda: progress.finished)
    try:
        yield
    finally:
        sampler.stop()


def _train(
    order: WorkOrder,
    assembly: Assembly,
    engine: Engine,
    base: Path,
    start: Start,
    guard: Guard,
    journal: JournalWriter | None,
    monitor: Monitor | None,
) -> Outcome:
    job, settings = assembly.job, engine.settings
    tell = Teller(journal, monitor)
    for warning in start.warnings:
        tell(warning)
    metrics = LateMetrics(lambda: build_metrics(job, base, assembly.splits, settings.device))
    progress = Progress(best=monitored(job, base))
    holdings = Holdings(
        engine,
        assembly.strategies,
        progress,
        assembly.auxiliaries,
        assembly.streams,
        assembly.parts,
    )
    put_back = None
    if start.checkpoint is not None:
        put_back = partial(restore, start.checkpoint, holdings)
        put_back()
    for strategy in assembly.strategies.values():
        strategy.begin(assembly.context)
    total = assembly.timetable.total_steps
    recorder = Recorder(settings.device, settings.world_size, total, journal, monitor)
    recorder.judges_gradients = guard.with_gradients
    keeper = recorder.saves = _keeper(order, assembly, holdings, start, tell)

    def loop_of(phase: Assembly) -> Loop:
        loop = make_loop(phase, engine, metrics, recorder, progress, guard)
        loop.save = keeper
        loop.checkpoint_pace_s = order.checkpoint_pace_s
        return loop

    with _system_metrics(job, journal, progress):
        try:
            complete = Phases(assembly, base, engine, progress, loop_of, put_back).run()
        except (NumericsError, Rewind):
            # All workers are here, so the checkpoint from before it can be finished.
            keeper.settle()
            raise
        finally:
            assembly.streams.close()
        keeper.finish()
    loss = {} if progress.loss is None else {"train/loss": progress.loss}
    newest = {**progress.metrics, **loss}
    total = progress.finished if progress.ended else recorder.total_steps
    warnings = [*start.warnings, *start.remarks, *keeper.warnings, *_left_out(progress)]
    return Outcome(complete, progress.finished, total, newest, start.attempt, warnings)


def _left_out(progress: Progress) -> list[str]:
    if progress.skipped == 0:
        return []
    count = "one update was" if progress.skipped == 1 else f"{progress.skipped} updates were"
    return [f"{count} left out; the journal's events say which, and why"]


def _keeper(
    order: WorkOrder, assembly: Assembly, holdings: Holdings, start: Start, tell: Teller
) -> Keeper:
    job, settings = assembly.job, holdings.engine.settings
    writer = CheckpointWriter(
        Folder(order.run_url),
        settings.rank,
        settings.world_size,
        keep_last=job.training.keep.last,
        keep_best=job.training.keep.best,
    )
    constants = constants_of(assembly.splits, order.plugin_files)
    cut_for = assembly.context.cut_for
    saver = Saver(writer, holdings, job, constants, start.attempt, start.lineage, cut_for)
    newest = start.checkpoint.name if start.checkpoint is not None else None
    return Keeper(saver, newest, tell, job.training.max_failed_checkpoints)


def _place() -> tuple[int, int]:
    """Rank and number of workers of this process."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _device(job: TrainJob, given: torch.device | None) -> torch.device:
    """The device to train on: the given one, or the first GPU if the job asks for any."""
    if job.cluster.gpus_per_worker == 0:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RunError("the job asks for GPUs, but CUDA is not available on this worker")
    device = given or torch.device("cuda", 0)
    torch.cuda.set_device(device)
    return device
