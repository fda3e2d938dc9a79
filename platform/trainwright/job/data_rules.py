"""Rules on the ``data`` section of a job, and on the metrics computed from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from trainwright.errors import Problem
from trainwright.job.cluster_spec import Processes
from trainwright.job.models import (
    ColumnSpec,
    DataSource,
    DataSpec,
    HeldOut,
    NamedSource,
    TrainJob,
)
from trainwright.job.sources import in_memory, is_file_source, name_of
from trainwright.suggest import nearest, one_of

SAMPLE_ID = "sample_id"
"""The column that every table has and no job may declare."""


class WithData(Protocol):
    """What the rules on data need of a job, of whatever kind."""

    @property
    def data(self) -> DataSpec:
        """Its data section."""
        ...

    @property
    def cluster(self) -> Processes:
        """Where it runs."""
        ...


def _held_out(job: WithData) -> Iterator[tuple[str, HeldOut]]:
    for name in ("validation", "test"):
        held: HeldOut | None = getattr(job.data, name)
        if held is not None:
            yield f"data.{name}", held


def _sections(job: WithData) -> Iterator[tuple[str, DataSpec | NamedSource]]:
    """Dotted path and content of every section that declares columns."""
    yield "data", job.data
    for name, named in job.data.sources.items():
        yield f"data.sources.{name}", named


def _sources(
    job: WithData, path: str, section: DataSpec | NamedSource
) -> Iterator[tuple[str, DataSource]]:
    """Dotted path of every source whose columns a section declares."""
    yield f"{path}.source", section.source
    if isinstance(section, DataSpec):
        for held_path, held in _held_out(job):
            if held.source is not None:
                yield f"{held_path}.source", held.source


def _named(job: WithData, path: str, section: DataSpec | NamedSource) -> Iterator[tuple[str, str]]:
    return ((where, name_of(source)) for where, source in _sources(job, path, section))


def memory_stays_in_process(job: WithData) -> list[Problem]:
    """Data in memory is seen by one process only."""
    if job.cluster.max_workers == 0:
        return []
    return [
        Problem(
            path,
            "is in the memory of one process, which the workers cannot see",
            name,
            allowed="a URL that every worker can read: file:// (a shared folder) or s3://",
            mend="or set cluster.workers: 0",
        )
        for section_path, section in _sections(job)
        for path, name in _named(job, section_path, section)
        if in_memory(name)
    ]


def plugins_have_no_columns(job: WithData) -> list[Problem]:
    """A dataset plugin declares its columns itself."""
    return [
        Problem(
            f"{path}.columns",
            f"has no effect: {name_of(section.source)} is a dataset plugin, which declares its "
            "columns itself",
            list(section.columns),
            mend=f"remove it; for a file or folder of that name write ./{name_of(section.source)}",
        )
        for path, section in _sections(job)
        if section.columns
        and not any(is_file_source(n, section.format) for _, n in _named(job, path, section))
    ]


def files_have_no_options(job: WithData) -> list[Problem]:
    """Options belong to dataset plugins."""
    return [
        Problem(f"{path}.{option}", "is an option, and files have none", value, mend="remove it")
        for section_path, section in _sections(job)
        for path, source in _sources(job, section_path, section)
        if not isinstance(source, str) and is_file_source(source.name, section.format)
        for option, value in source.options.items()
    ]


def held_out_in_one_way(job: WithData) -> list[Problem]:
    """A held-out split is a share of the training source or a source of its own."""
    problems = []
    for path, held in _held_out(job):
        if held.fraction is not None and held.source is not None:
            message = "has both a fraction and a source of its own"
            problems.append(Problem(path, message, mend="remove one of them"))
        elif held.fraction is None and held.source is None:
            message = "says neither which fraction nor which source"
            problems.append(Problem(path, message, allowed="fraction or source"))
    return problems


def own_source_is_not_split(job: WithData) -> list[Problem]:
    """How to draw a share has no meaning for a source of its own."""
    return [
        Problem(f"{path}.{key}", "has no effect: the source is used whole", getattr(held, key))
        for path, held in _held_out(job)
        if held.source is not None and held.fraction is None
        for key in ("stratify", "seed")
        if key in held.model_fields_set
    ]


def something_is_left_to_train(job: WithData) -> list[Problem]:
    """Validation and test together are less than everything."""
    shares = {path: held.fraction for path, held in _held_out(job) if held.fraction is not None}
    if sum(shares.values()) < 1:
        return []
    message = f"{' and '.join(shares)} together leave nothing to train on"
    last = list(shares)[-1]
    return [Problem(f"{last}.fraction", message, shares[last], allowed="a sum below 1")]


def sample_id_is_reserved(job: WithData) -> list[Problem]:
    """Every table gets the column by which samples are told apart."""
    message = "is the reserved name of the row number, which every table has"
    mend = f"choose another name and write 'from: {SAMPLE_ID}'"
    return [
        Problem(f"{path}.columns.{SAMPLE_ID}", message, mend=mend)
        for path, section in _sections(job)
        if SAMPLE_ID in section.columns
    ]


_ONLY_FOR: dict[str, tuple[str, ...]] = {
    "shape": ("image", "vector", "value", "mask"),
    "classes": ("class", "tokens"),
    "length": ("tokens", "mask"),
}


def _column_problems(path: str, column: ColumnSpec) -> Iterator[Problem]:
    for key, kinds in _ONLY_FOR.items():
        if getattr(column, key) is not None and column.type not in kinds:
            allowed = f"for columns of type {', '.join(kinds)}"
            message = f"has no meaning for a column of type {column.type}"
            yield Problem(f"{path}.{key}", message, getattr(column, key), allowed=allowed)
    if column.type == "image" and column.shape is not None and len(column.shape) != 3:
        message = "an image has three sizes"
        yield Problem(f"{path}.shape", message, column.shape, "[channels, height, width]")
    if column.type == "tokens" and isinstance(column.classes, list):
        message = "tokens are numbers, without labels"
        yield Problem(f"{path}.classes", message, column.classes, "the size of the vocabulary")


def columns_fit_their_type(job: WithData) -> list[Problem]:
    """Shape, classes and length are said where they mean something."""
    return [
        problem
        for path, section in _sections(job)
        for name, column in section.columns.items()
        for problem in _column_problems(f"{path}.columns.{name}", column)
    ]


def labels_differ(job: WithData) -> list[Problem]:
    """Each class has one label."""
    return [
        Problem(f"{path}.columns.{name}.classes", "lists a label twice", column.classes)
        for path, section in _sections(job)
        for name, column in section.columns.items()
        if isinstance(column.classes, list) and len(set(column.classes)) < len(column.classes)
    ]


def metrics_are_evaluated(job: TrainJob) -> list[Problem]:
    """Metrics are computed on held-out samples."""
    if not job.metrics or any(_held_out(job)):
        return []
    message = "are computed on a validation or test split, and the job has neither"
    mend = "add data.validation (0.2, say) or data.test, or remove the metrics"
    return [Problem("metrics", message, [metric.name for metric in job.metrics], mend=mend)]


def evaluation_has_data(job: TrainJob) -> list[Problem]:
    """A time between evaluations needs something to evaluate."""
    if job.data.validation is not None or "evaluate_every" not in job.training.model_fields_set:
        return []
    message = "has no effect without a validation split"
    got = str(job.training.evaluate_every)
    mend = "add data.validation, 0.2 say, or remove it"
    return [Problem("training.evaluate_every", message, got, mend=mend)]


def _base(name: str) -> str:
    """The name under which a plugin's numbers are recorded: the last part of an import path."""
    return name.rpartition(":")[2].rpartition(".")[2]


def monitor_has_data(job: TrainJob) -> list[Problem]:
    """A monitored metric comes from a validation split."""
    monitor = job.training.monitor
    if monitor is None or job.data.validation is not None:
        return []
    message = "needs a validation split, from which the metric comes"
    mend = "add data.validation, 0.2 say"
    return [Problem("training.monitor", message, monitor.metric, mend=mend)]


def monitor_exists(job: TrainJob) -> list[Problem]:
    """The monitored metric is one that an evaluation gives.

    Not among the rules of the form: it is asked once the names of the metrics are known to be
    right, so that a misspelt metric is told as such.
    """
    monitor = job.training.monitor
    if monitor is None:
        return []
    names = ["loss", *(metric.name for metric in job.metrics)]
    if len(job.objectives) > 1:
        names += [_base(objective.name) for objective in job.objectives]
    given = [f"validation/{name}" for name in dict.fromkeys([*names, *map(_base, names)])]
    metric = monitor.metric
    if any(metric == name or metric.startswith((f"{name}/", f"{name}_")) for name in given):
        return []
    short = nearest(metric, [name.partition("/")[2] for name in given], cutoff=0.8)
    closest = f"validation/{short}" if short else nearest(metric, given)
    message = "no evaluation gives this metric"
    problem = Problem("training.monitor.metric", message, metric, one_of(given), closest)
    return [problem]


DATA_RULES = (
    memory_stays_in_process,
    plugins_have_no_columns,
    files_have_no_options,
    held_out_in_one_way,
    own_source_is_not_split,
    something_is_left_to_train,
    sample_id_is_reserved,
    columns_fit_their_type,
    labels_differ,
)
"""Rules on the data section of a job of any kind."""

EVALUATION_RULES = (metrics_are_evaluated, evaluation_has_data, monitor_has_data)
"""Rules on what a training job evaluates."""
