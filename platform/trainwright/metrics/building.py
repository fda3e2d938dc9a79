"""Metrics from plugins, completed with what the data says."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainwright.data.table import IGNORED
from trainwright.errors import PluginError, Problem
from trainwright.metrics.binding import MetricBinding
from trainwright.plugins import Plugin, check_options, construct, find
from trainwright.plugins.adapters import one_task_form, target_of
from trainwright.plugins.builtin import snake
from trainwright.plugins.late import import_torchmetrics
from trainwright.plugins.paths import is_path


def build_metric(
    name: str,
    options: Mapping[str, Any],
    *,
    facts: Mapping[str, Any],
    bind: Mapping[str, str],
    base: Path | None = None,
    path: str = "metrics",
) -> MetricBinding:
    """The metric of that name, ready for an evaluation.

    Args:
        name: a short name, a torchmetrics class name, an import path, or ``file.py:Name``.
        options: as written in the job.
        facts: what the data says: ``num_classes`` of a class target makes the task
            ``multiclass``; ``out_features`` is the number of labels of a multilabel task; tokens
            that are no target do not count.
        bind: argument of the metric's ``update`` -> model output or batch column.
        base: folder of the job.
        path: dotted path of the metric in the job, for messages.

    Raises:
        PluginError: no such metric, wrong options, or something that is no torchmetrics metric.
    """
    import_torchmetrics()
    from torchmetrics import Metric

    plugin = find("metrics", name, base, path=f"{path}.name")
    values, problems = check_options(plugin, options, path, _derived(options, facts))
    if problems:
        raise PluginError([_explained(problem, plugin, path) for problem in problems])
    with warnings.catch_warnings():
        # the exact value needs every prediction: so chosen by whoever names such a metric
        warnings.filterwarnings("ignore", message=r"Metric `\w+` will save all targets")
        metric = construct(plugin, values, path)
    if not isinstance(metric, Metric):
        message = f"{name} makes a {type(metric).__name__}, which is no torchmetrics.Metric"
        mend = "derive it from torchmetrics.Metric: its states are then right across workers"
        raise PluginError(Problem(f"{path}.name", message, mend=mend))
    of_tokens = facts.get("target_kind") == "tokens"
    return MetricBinding(metric_label(name), metric, bind, path, classes_last=of_tokens)


def metric_label(name: str) -> str:
    """The name under which results are recorded: a short name itself, a path's class in snake case.

    Example:
        >>> metric_label("accuracy"), metric_label("own.py:LargestError")
        ('accuracy', 'largest_error')
    """
    return snake(re.split(r"[.:]", name)[-1]) if is_path(name) else name


def higher_is_better(name: str, base: Path | None = None) -> bool | None:
    """Whether more of the metric is better; None when the metric does not say.

    Args:
        name: as in a job.
        base: folder of the job.

    Raises:
        PluginError: there is no such metric.
    """
    target = target_of(find("metrics", name, base).factory)
    if target.__module__.startswith("torchmetrics."):
        target = one_task_form(target)
    answer = getattr(target, "higher_is_better", None)
    return answer if isinstance(answer, bool) else None


def _derived(options: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    derived: dict[str, Any] = {}
    if facts.get("num_classes") is not None:
        derived = {"task": "multiclass", "num_classes": facts["num_classes"]}
    if options.get("task") == "multilabel" and "out_features" in facts:
        derived["num_labels"] = facts["out_features"]
    if facts.get("target_kind") == "tokens":
        derived["ignore_index"] = IGNORED
    return derived


def _explained(problem: Problem, plugin: Plugin, path: str) -> Problem:
    """A missing task means that the target is no class: say so."""
    if problem.path != f"{path}.task" or "needs the option" not in problem.message:
        return problem
    return Problem(
        problem.path,
        f"{plugin.name} measures classes, and the target of this job is no class column",
        allowed=problem.allowed,
        mend="declare the target as a class, say the task, or take mae, mse, rmse or r2",
    )
