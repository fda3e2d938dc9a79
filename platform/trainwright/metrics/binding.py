"""A metric together with where its arguments come from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from trainwright.errors import PluginError, Problem
from trainwright.metrics.predictions import (
    Task,
    align,
    class_scores,
    full_precision,
    whole_targets,
)
from trainwright.metrics.sharing import even_out
from trainwright.objective.binding import NameBinding, arguments_of, primary
from trainwright.suggest import one_of

if TYPE_CHECKING:
    from torchmetrics import Metric

_TASK = re.compile(r"^(Binary|Multiclass|Multilabel)(\w+)$")
_BY_LABEL = {
    "Accuracy",
    "CohenKappa",
    "ExactMatch",
    "F1Score",
    "FBetaScore",
    "HammingDistance",
    "JaccardIndex",
    "MatthewsCorrCoef",
    "NegativePredictiveValue",
    "Precision",
    "Recall",
    "Specificity",
}
"""Metrics that look at the likeliest classes only, not at their probabilities."""


class MetricBinding:
    """A metric over an evaluation: fed batch by batch, computed over all workers at the end.

    Arguments of the metric's ``update`` are found by name, as those of an objective are:
    ``preds`` is the model's first output (``logits`` if there is one) unless bound otherwise,
    ``target`` the batch column of that name.

    Attributes:
        name: first part of the names of its results.
        metric: the torchmetrics object.
    """

    def __init__(
        self,
        name: str,
        metric: Metric,
        bind: Mapping[str, str],
        path: str = "metrics",
        classes_last: bool = False,
    ) -> None:
        """Bind the metric.

        Args:
            name: first part of the names of its results.
            metric: a torchmetrics object.
            bind: argument of ``update`` -> model output or batch column, where names differ.
            path: dotted path in the job, for messages.
            classes_last: whether predictions have the classes in their last dimension, as those
                of tokens do, and not in dimension 1.

        Raises:
            PluginError: ``bind`` names an argument that the metric does not have.
        """
        self.name = name
        self.metric = metric
        self._path = path
        self._classes_last = classes_last
        self._binding = NameBinding(arguments_of(metric.update), bind)
        match = _TASK.match(type(metric).__name__)
        of_library = type(metric).__module__.startswith("torchmetrics.classification")
        self._task = cast(Task, match.group(1).lower()) if match and of_library else None
        self._by_label = bool(match and match.group(2) in _BY_LABEL)
        if self._binding.unknown:
            known = one_of(argument.name for argument in self._binding.arguments)
            raise PluginError(
                Problem(f"{path}.bind.{argument}", f"{name} has no such argument", allowed=known)
                for argument in self._binding.unknown
            )

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> None:
        """Add one micro-batch, on this worker alone.

        Args:
            outputs: the model's named outputs.
            batch: the batch's columns.

        Raises:
            PluginError: an argument cannot be found, or the metric refuses what it is given.
        """
        self._check_found(outputs, batch)
        values = self._binding.collect(outputs, batch)
        values = {name: full_precision(value) for name, value in values.items()}
        try:
            self.metric.update(**self._prepared(values, outputs))
        except torch.OutOfMemoryError:
            raise
        except (ValueError, TypeError, RuntimeError) as error:
            shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in values.items())
            message = f"{self.name} cannot take {shapes}: {error}"
            raise PluginError(Problem(self._path, message)) from error

    def compute(self) -> dict[str, float]:
        """The value over the samples of all workers; a collective operation when there are several.

        Returns:
            ``{name: value}``; several numbers are ``name/0``, ``name/1``... or ``name/key``.
        """
        even_out(self.metric)
        with warnings.catch_warnings():
            # a worker without a sample of its own takes part in the exchange like any other
            warnings.filterwarnings("ignore", message=r"The ``compute`` method of metric")
            return dict(_flat(self.name, self.metric.compute()))

    def reset(self) -> None:
        """Forget all samples."""
        self.metric.reset()

    def to(self, device: torch.device | str) -> MetricBinding:
        """Move the state to ``device``; returns itself."""
        self.metric = self.metric.to(device)
        return self

    def _prepared(
        self, values: dict[str, Tensor], outputs: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        if "preds" not in values or "target" not in values:
            return values
        preds, target = align(values["preds"], values["target"])
        if self._task is not None:
            target = whole_targets(target)
            raw = self._source_of_preds(outputs) == "logits"
            if self._classes_last and preds.ndim == target.ndim + 1:
                preds = preds.movedim(-1, 1)
            preds = class_scores(preds, target, self._task, raw=raw, by_label=self._by_label)
        return {**values, "preds": preds, "target": target}

    def _source_of_preds(self, outputs: Mapping[str, Tensor]) -> str:
        default = "preds" if "preds" in outputs else primary(tuple(outputs))
        return self._binding.bind.get("preds", default)

    def _check_found(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> None:
        missing = self._binding.missing(tuple(outputs), tuple(batch))
        if missing:
            raise PluginError(
                Problem(
                    f"{self._path}.bind.{item.argument}",
                    f"{self.name} needs {item.wanted!r}, which is no output and no column",
                    allowed=f"outputs {one_of(item.outputs)}; columns {one_of(item.columns)}",
                    nearest=item.nearest,
                )
                for item in missing
            )


def _flat(name: str, value: Any) -> list[tuple[str, float]]:
    """The numbers in a metric's result with their names."""
    if isinstance(value, Mapping):
        return [pair for key, part in value.items() for pair in _flat(f"{name}/{key}", part)]
    if isinstance(value, (list, tuple)):
        return [pair for key, part in enumerate(value) for pair in _flat(f"{name}/{key}", part)]
    if isinstance(value, Tensor) and value.numel() != 1:
        return _flat(name, value.tolist())
    return [(name, float(value))]
