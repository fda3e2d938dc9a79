"""The metrics of a job, and the one that marks the best checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import overload

import torch

from trainwright.data.facts import data_facts
from trainwright.data.loading import Splits
from trainwright.errors import JobError, Problem
from trainwright.job.models import MetricSpec, TrainJob
from trainwright.metrics import MetricBinding, build_metric, higher_is_better, metric_label
from trainwright.objective import WeightedSum
from trainwright.suggest import nearest, one_of
from trainwright.training.monitored import Best


def build_metrics(
    job: TrainJob, base: Path, splits: Splits, device: torch.device
) -> list[MetricBinding]:
    """The job's metrics on ``device``.

    Raises:
        PluginError: unknown, or its options are wrong.
    """
    facts = data_facts(splits.columns, job.model.inputs)
    metrics = [
        build_metric(
            spec.name, spec.options, facts=facts, bind=spec.bind, base=base, path=f"metrics.{index}"
        )
        for index, spec in enumerate(job.metrics)
    ]
    for metric in metrics:
        metric.to(device)
    return metrics


class LateMetrics(Sequence[MetricBinding]):
    """Metrics that are made when an evaluation first asks for them.

    A worker then comes to its first update without importing torchmetrics; whether the metrics
    can be made was found out before it was started.
    """

    def __init__(self, make: Callable[[], Sequence[MetricBinding]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Sequence[MetricBinding]:
        return self._make()

    @overload
    def __getitem__(self, index: int) -> MetricBinding: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[MetricBinding]: ...

    def __getitem__(self, index: int | slice) -> MetricBinding | Sequence[MetricBinding]:
        return self._made[index]

    def __len__(self) -> int:
        return len(self._made)


def metric_names(terms: WeightedSum, job: TrainJob) -> list[str]:
    """What an evaluation on the validation split gives, as far as known before one ran."""
    parts = [term.name for term in terms] if len(terms.terms) > 1 else []
    labels = [metric_label(spec.name) for spec in job.metrics]
    return [f"validation/{name}" for name in ["loss", *parts, *labels]]


def monitored(
    job: TrainJob, base: Path, names: Sequence[str] | None = None, further: Sequence[str] = ()
) -> Best:
    """The metric that the job monitors; ``validation/loss`` when it names none.

    Args:
        job: the job.
        base: folder of the job file.
        names: the metrics that evaluation will give, with their prefix; None when the job has
            been checked before.
        further: those that strategies give besides.

    Raises:
        JobError: the monitored metric will not be evaluated, or its direction is unknown.
    """
    monitor = job.training.monitor
    if monitor is None:
        return Best()
    if names is not None and monitor.metric not in (*names, *further):
        raise JobError(
            Problem(
                path="training.monitor.metric",
                message="no evaluation gives this metric",
                got=monitor.metric,
                allowed=one_of([*names, *further]),
                nearest=nearest(monitor.metric, [*names, *further]),
            )
        )
    if monitor.mode is not None:
        return Best(monitor.metric, monitor.mode == "max")
    if monitor.metric in further:
        raise JobError(_unknown_direction(monitor.metric))
    return Best(monitor.metric, _direction(job, base, monitor.metric))


def _direction(job: TrainJob, base: Path, metric: str) -> bool:
    """Whether more of ``metric`` is better."""
    better = direction_of(job.metrics, base, metric)
    if better is None:
        raise JobError(_unknown_direction(metric))
    return better


def direction_of(metrics: Sequence[MetricSpec], base: Path, metric: str) -> bool | None:
    """Whether more of an evaluated metric is better; None where it does not say.

    That is what the metric says; objectives are minimised.
    """
    short = metric.split("/", 1)[-1]
    for spec in metrics:
        label = metric_label(spec.name)
        if short == label or short.startswith(f"{label}/"):
            return higher_is_better(spec.name, base)
    return False


def _unknown_direction(name: str) -> Problem:
    return Problem(
        path="training.monitor.mode",
        message=f"{name} does not say whether more of it is better",
        allowed="min, max",
    )
