"""Plugins that libraries bring: every torch loss and optimizer, and torchmetrics.

Names are read from the installed library's source files, so that listing them imports nothing;
the library is imported when one of them is used.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

from pydantic import Field

from trainwright.plugins.adapters import (
    CANNOT_STEP,
    Adapted,
    adapt,
    is_one_task,
    not_a_number,
    with_defaults,
    with_fixed,
    with_renamed,
)
from trainwright.plugins.groups import Factory
from trainwright.plugins.late import import_torchmetrics
from trainwright.plugins.static import docstrings, exported, module_file


@dataclass(frozen=True)
class BuiltIn:
    """A library class under a short name.

    Attributes:
        name: the short name.
        module: module that holds the class.
        attribute: name of the class, also accepted as a short name.
        doc: what it is for; the first sentence is shown in lists.
        listed: whether ``trainwright list`` shows it.
    """

    name: str
    module: str
    attribute: str
    doc: str
    listed: bool = True

    @property
    def origin(self) -> str:
        """The library part it comes from, as shown to users."""
        return self.module.removesuffix(".modules.loss")

    def load(self, group: str) -> Factory:
        """Import the class and reduce its constructor to options.

        Raises:
            PluginError: the class cannot serve in training; the message says why.
            ImportError: the library, or something it needs, is not installed.
        """
        if group == "metrics":
            import_torchmetrics()
        factory = adapt(group, getattr(importlib.import_module(self.module), self.attribute))
        shape = _SHORT_METRICS[self.name].shape if self.name in _SHORT_METRICS else None
        if group == "metrics" and shape is not None and isinstance(factory, Adapted):
            return shape(factory)
        return factory


def built_ins(group: str) -> Mapping[str, BuiltIn]:
    """Short name -> library class, for one group of plugins; refused classes are included."""
    tables = {"objectives": _losses, "optimizers": _optimizers, "metrics": _metrics}
    return tables[group]() if group in tables else {}


def built_in(group: str, name: str) -> BuiltIn | None:
    """The library class of that short name, class name, or class name in snake case."""
    table = built_ins(group)
    if name in table:
        return table[name]
    same = (item for item in table.values() if name in (item.attribute, snake(item.attribute)))
    return next(same, None)


_LOSS_MODULE = "torch.nn.modules.loss"
_DEPRECATED_LOSSES = ("NLLLoss2d",)


@cache
def _losses() -> dict[str, BuiltIn]:
    file = module_file(_LOSS_MODULE)
    names = [name for name in exported(file) if name not in _DEPRECATED_LOSSES] if file else []
    texts = docstrings(file) if file else {}
    found = [
        BuiltIn(snake(name.removesuffix("Loss")), _LOSS_MODULE, name, texts.get(name, ""))
        for name in names
    ]
    return {item.name: item for item in found}


_OPTIMIZER_PURPOSES: dict[str, str] = {
    "Adadelta": "Step sizes from a running window of squared gradients and squared updates.",
    "Adafactor": "Adam's second moment kept by rows and columns, for little memory.",
    "Adagrad": "Step sizes that shrink with the sum of squared gradients.",
    "Adam": "Running mean of the gradient over the root of its running square.",
    "AdamW": "Adam with weight decay apart from the gradient.",
    "Adamax": "Adam with the infinity norm in place of the second moment.",
    "ASGD": "Stochastic gradient descent with averaged weights.",
    "Muon": "Momentum made orthogonal, for weight matrices only.",
    "NAdam": "Adam with Nesterov momentum.",
    "RAdam": "Adam with the early variance of the step size rectified.",
    "RMSprop": "The gradient over the root of its running square.",
    "Rprop": "Step sizes from the signs of successive gradients; for full batches.",
    "SGD": "Stochastic gradient descent, with momentum if wanted.",
}


@cache
def _optimizers() -> dict[str, BuiltIn]:
    file = module_file("torch.optim")
    names = [name for name in exported(file) if name[:1].isupper()] if file else []
    return {
        name.lower(): BuiltIn(
            name.lower(),
            "torch.optim",
            name,
            _OPTIMIZER_PURPOSES.get(name, f"torch.optim.{name}"),
            listed=name not in CANNOT_STEP,
        )
        for name in names
        if name != "Optimizer"
    }


@dataclass(frozen=True)
class _ShortMetric:
    attribute: str
    purpose: str
    area: str = "classification"
    shape: Callable[[Adapted], Adapted] | None = None


def _macro(factory: Adapted) -> Adapted:
    """Classes weigh the same: the library's default, micro, is plain accuracy again."""
    return with_defaults(factory, average="macro")


def _top_k(factory: Adapted) -> Adapted:
    k = inspect.Parameter(
        "k",
        inspect.Parameter.KEYWORD_ONLY,
        default=5,
        annotation=Annotated[int, Field(ge=1)],
    )
    return with_renamed(factory, "top_k", k)


def _root(factory: Adapted) -> Adapted:
    return with_fixed(factory, squared=False)


_SHORT_METRICS: dict[str, _ShortMetric] = {
    "accuracy": _ShortMetric("Accuracy", "Share of samples whose class is right."),
    "top_k_accuracy": _ShortMetric(
        "Accuracy", "Share of samples whose class is among the k likeliest.", shape=_top_k
    ),
    "f1": _ShortMetric(
        "F1Score", "Harmonic mean of precision and recall, mean over classes.", shape=_macro
    ),
    "precision": _ShortMetric(
        "Precision", "Share of predictions of a class that are right.", shape=_macro
    ),
    "recall": _ShortMetric("Recall", "Share of a class that is found.", shape=_macro),
    "auroc": _ShortMetric("AUROC", "Area under the receiver operating characteristic."),
    "calibration_error": _ShortMetric(
        "CalibrationError", "Distance between confidence and accuracy."
    ),
    "mae": _ShortMetric("MeanAbsoluteError", "Mean absolute error.", "regression"),
    "mse": _ShortMetric("MeanSquaredError", "Mean squared error.", "regression"),
    "rmse": _ShortMetric(
        "MeanSquaredError", "Root of the mean squared error.", "regression", _root
    ),
    "r2": _ShortMetric("R2Score", "Share of the target's variance explained.", "regression"),
    "perplexity": _ShortMetric("Perplexity", "Exponential of the mean loss per token.", "text"),
}
_METRIC_AREAS = (
    "classification",
    "regression",
    "image",
    "retrieval",
    "nominal",
    "clustering",
    "segmentation",
)


@cache
def _metrics() -> dict[str, BuiltIn]:
    table = {
        name: BuiltIn(name, f"torchmetrics.{item.area}", item.attribute, item.purpose)
        for name, item in _SHORT_METRICS.items()
    }
    short = {item.attribute for item in _SHORT_METRICS.values()}
    for area in _METRIC_AREAS:
        module = f"torchmetrics.{area}"
        file = module_file(module)
        for name in exported(file) if file else ():
            if name not in short:
                listed = not is_one_task(name) and not_a_number(name) is None
                doc = f"{module}.{name}"
                table[snake(name)] = BuiltIn(snake(name), module, name, doc, listed)
    return table


_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """``BCEWithLogits`` -> ``bce_with_logits``."""
    return _WORD_START.sub("_", name).lower()
