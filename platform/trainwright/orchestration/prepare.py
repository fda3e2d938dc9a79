"""Everything that can be wrong with a job, found before any cluster starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trainwright.data.loading import Splits, load_splits
from trainwright.engine import engine_name
from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins, plugins_of
from trainwright.job.identity import run_name
from trainwright.job.models import TrainJob
from trainwright.optimizers import is_elementwise
from trainwright.orchestration.machine import does_not_fit_here
from trainwright.orchestration.starting import Start, readable, starting_weights
from trainwright.orchestration.trial import try_out
from trainwright.overview import open_storage
from trainwright.plugins import find, plugin_files
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.strategy.base import overrides
from trainwright.strategy.checks import Setting, check_strategies
from trainwright.strategy.order import SAMPLE_WEIGHT
from trainwright.tracking import check_uri
from trainwright.training.assembly import Assembly
from trainwright.training.monitored import Best


@dataclass(frozen=True)
class Prepared:
    """A job that will run.

    Attributes:
        job: the job.
        name: the run's name.
        plugin_files: the user's plugin files, relative path -> content.
        fingerprint: identifies the content of the data.
        total_steps: updates planned.
        summary: what will be trained on what, one line each.
        remarks: what depends on the number of workers.
        metrics: what an evaluation will give, as far as known beforehand.
        best: the metric that marks the best checkpoint.
        start: the starting weights, if the job names any.
    """

    job: Job
    name: str
    plugin_files: dict[str, bytes]
    fingerprint: str
    total_steps: int
    summary: list[str]
    remarks: list[str]
    metrics: list[str]
    best: Best
    start: Start | None = None

    def name_of(self, job: Job) -> str:
        """The run's name of a job that differs from this one in its seed alone."""
        return _name(job, self.fingerprint, self.plugin_files, self.start)


def _name(job: Job, fingerprint: str, files: Mapping[str, bytes], start: Start | None) -> str:
    return run_name(
        job,
        data_fingerprint=fingerprint,
        plugin_files=files,
        further={"weights": start.fingerprint} if start else {},
    )


def prepare(job: Job) -> Prepared:
    """Check a job whole: plugins, options, data, declarations, a pass over real samples.

    Raises:
        InputError: with every problem found, each with its place in the job file.
    """
    spec = job.spec
    with located(job):
        uri = spec.tracking.uri if spec.tracking.enabled else None
        beside = [*(check_uri(uri) if uri else []), *does_not_fit_here(spec.cluster)]
        _refuse(job.document.sorted([*check_plugins(job), *beside]))
        workers = spec.cluster.max_workers
        splits = load_splits(spec.data, base=job.base, workers=workers, seed=spec.seed)
        _refuse(_reserved(splits))
        start = starting_weights(job)
        context = Context(seed=spec.seed, world_size=max(workers, 1))
        with readable(start) as weights:
            trial = try_out(spec, job.base, splits, context, weights)
        assembly = trial.assembly
        _refuse([*_declared(assembly), *_optimizer(job), *_coupling(assembly)])
        remarks, metrics, best = trial.passes(job.base)
    files = plugin_files(job.base, plugins_of(job))
    name = _name(job, splits.fingerprint, files, start)
    total = assembly.timetable.total_steps
    summary = [*_summary(assembly), *([f"weights: from {start.label}"] if start else [])]
    return Prepared(
        job=job,
        name=name,
        plugin_files=files,
        fingerprint=splits.fingerprint,
        total_steps=total,
        summary=summary,
        remarks=remarks,
        metrics=metrics,
        best=best,
        start=start,
    )


@contextmanager
def located(job: Job[Any]) -> Iterator[None]:
    """Give every problem raised inside its file and line."""
    try:
        yield
    except InputError as error:
        raise type(error)([job.locate(problem) for problem in error.problems]) from error


def storage_of(job: Job[Any]) -> Folder:
    """The storage of a job; a relative folder stands in the working directory."""
    with located(job):
        return open_storage(job.spec.storage, "storage")


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise JobError(problems)


def zero_stage(spec: TrainJob) -> int:
    """The ZeRO stage of a job, 0 when it names none."""
    return int(spec.deepspeed.get("zero_optimization", {}).get("stage", 0))


def _declared(assembly: Assembly) -> list[Problem]:
    spec = assembly.job
    setting = Setting(
        engine_name(spec),
        zero_stage(spec),
        spec.training.precision,
        all(hasattr(term.objective, "reduction") for term in assembly.terms),
        assembly.terms.unweightable,
        is_compiled=spec.training.compile is not None,
    )
    return check_strategies(assembly.strategies, setting)


def _optimizer(job: Job) -> list[Problem]:
    spec = job.spec
    factory = find("optimizers", spec.optimizer.name, job.base).factory
    if engine_name(spec) != "deepspeed" or zero_stage(spec) == 0 or is_elementwise(factory):
        return []
    return [
        Problem(
            path="optimizer.name",
            message="needs whole parameters, which ZeRO stages 1 to 3 cut into flat pieces",
            got=spec.optimizer.name,
            mend="set deepspeed.zero_optimization.stage: 0, or engine: local",
        )
    ]


def _coupling(assembly: Assembly) -> list[Problem]:
    if assembly.terms.couples != "batch" or assembly.job.training.precision != "fp16":
        return []
    return [
        Problem(
            path="training.precision",
            message="the objective couples the samples of the global batch, and the gradient "
            "of its outputs would vanish in half precision, where no loss scale reaches it",
            got="fp16",
            allowed="fp32 or bf16",
        )
    ]


def _reserved(splits: Splits) -> list[Problem]:
    if SAMPLE_WEIGHT not in splits.columns:
        return []
    return [
        Problem(
            path="data",
            message=f"the column name {SAMPLE_WEIGHT} is reserved for the weights that strategies "
            "give to samples",
            got=SAMPLE_WEIGHT,
            mend="give the column another name",
        )
    ]


def _streaming(assembly: Assembly) -> list[str]:
    """How the training samples are read, where that is not done beforehand."""
    spec, table = assembly.job, assembly.splits.train
    if spec.data.streaming is None:
        return []
    from trainwright.data.streaming.table import StreamedTable

    assert isinstance(table, StreamedTable)
    fewest = max(spec.cluster.min_workers, 1)  # each of them then holds the most
    return [f"streaming: {table.summary(spec.seed, spec.data.shuffle, fewest)}"]


def _summary(assembly: Assembly) -> list[str]:
    splits, table = assembly.splits, assembly.timetable
    held = [
        f"{len(part)} {name}"
        for name, part in (("validation", splits.validation), ("test", splits.test))
        if part is not None
    ]
    weights = sum(p.numel() for p in assembly.module.parameters() if p.requires_grad)
    phased = [name for name, s in assembly.strategies.items() if overrides(s, "run")]
    phases = [f"phases: decided by {', '.join(phased)}; that is the length of one left as it is"]
    return [
        f"data: {', '.join([f'{len(splits.train)} training', *held])} samples",
        *_streaming(assembly),
        f"model: {assembly.job.model.name}, {weights:,} trainable weights",
        f"training: {table.total_steps} updates of {assembly.plan.batch_size} samples, "
        f"{table.steps_per_epoch} in an epoch",
        *(phases if phased else []),
    ]
