"""How a plugin is used in its checks: one row of a table of settings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainwright.plugins import Plugin, find
from trainwright.strategy import Declares

Inputs = Callable[[int, torch.Generator], tuple[dict[str, Tensor], dict[str, Tensor]]]
"""(samples, generator) -> model outputs, batch columns."""

CLASSIFICATION: Mapping[str, Any] = {
    "name": "conformance",
    "seed": 5,
    # 72 samples to train on, and 25 held out: two workers evaluate two batches and one.
    "data": {
        "source": {
            "name": "synthetic_classification",
            "options": {"num_samples": 97, "num_features": 8, "num_classes": 4, "noise": 0.5},
        },
        "batch_size": 24,
        "validation": 0.26,
    },
    # An odd width: no number of workers divides the weights.
    "model": {"name": "mlp", "hidden": [17]},
    "objective": {"name": "cross_entropy"},
    "optimizer": {"name": "adamw", "lr": 0.01},
    "training": {
        "epochs": 3,
        "evaluate_every": "2 epochs",
        "checkpoint_every": "4 steps",
        "keep": {"last": 100},
    },
    "tracking": {"enabled": False, "system_metrics": False},
}
"""The job that a case changes: nine updates, three per epoch, a checkpoint in mid-epoch."""

REGRESSION: Mapping[str, Any] = {
    "data": {
        "source": {
            "name": "synthetic_regression",
            "options": {"num_samples": 96, "num_features": 8},
        }
    },
    "objective": {"name": "mse"},
}
"""Sections of a job with one value per sample to predict."""

IMAGES: Mapping[str, Any] = {
    "data": {
        "source": {
            "name": "synthetic_images",
            "options": {"num_samples": 96, "image_size": 8, "channels": 1, "num_classes": 4},
        }
    },
    "model": {"name": "convnet", "options": {"width": 4, "dropout": 0.2}},
}
"""Sections of a job with small images and a model with batch normalisation and dropout."""

_PLACES = {
    "models": ("model",),
    "objectives": ("objective",),
    "schedules": ("schedule",),
    "optimizers": ("optimizer",),
    "datasets": ("data", "source"),
}
_LISTS = {
    "strategies": ("strategies",),
    "metrics": ("metrics",),
    "transforms": ("data", "transforms"),
}


@dataclass(frozen=True)
class Case:
    """A plugin with the settings under which it is checked.

    Attributes:
        group: ``strategies``, ``objectives``, ``models``, ``datasets``, ``transforms``,
            ``schedules``, ``optimizers`` or ``metrics``.
        name: short name, import path, or ``file.py:Name`` beside ``base``.
        options: its options; for a strategy such that it changes training.
        job: sections that differ from :data:`CLASSIFICATION`. Mappings are merged; one that
            names a plugin replaces the plugin with its options. What it binds for the plugin
            itself (``inputs`` of a model, ``bind`` of an objective) stays.
        inputs: objectives: what makes the arguments of ``forward``, see
            :mod:`trainwright.testing.inputs`.
        exempt: name of a check -> why it cannot hold for this plugin.
        base: folder against which plugin files are found.
    """

    group: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    job: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs | None = None
    exempt: Mapping[str, str] = field(default_factory=dict)
    base: Path = field(default_factory=Path.cwd)

    def __post_init__(self) -> None:
        if any(not reason.strip() for reason in self.exempt.values()):
            raise ValueError(f"{self.name}: an exemption needs a reason")

    @property
    def plugin(self) -> Plugin:
        """The plugin, found and imported."""
        return find(self.group, self.name, self.base)

    @property
    def declares(self) -> Declares:
        """What a strategy declares; the defaults for other plugins."""
        return getattr(self.plugin.factory, "declares", Declares())

    @property
    def stages(self) -> tuple[int, ...]:
        """ZeRO stages at which the plugin must be right; none where DeepSpeed is not declared."""
        return stages_of(self.declares)

    def job_with(self, options: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """The case's job with the plugin under ``options``, and further sections changed."""
        values = merged(merged(CLASSIFICATION, self.job), changes)
        spec = {"name": self.name, **({"options": dict(options)} if options else {})}
        if self.group in _LISTS:
            *sections, last = _LISTS[self.group]
            section = _section(values, sections)
            section[last] = [*section.get(last, []), spec]
        else:
            *sections, last = _PLACES[self.group]
            section = _section(values, sections)
            section[last] = {**spec, **_bindings(section.get(last))}
        return values

    def job_without(self, **changes: Any) -> dict[str, Any]:
        """The case's job without the strategy."""
        return merged(merged(CLASSIFICATION, self.job), changes)

    def __str__(self) -> str:
        return self.name.rpartition(":")[2]


def _section(values: dict[str, Any], path: list[str]) -> dict[str, Any]:
    for key in path:
        values = values[key]
    return values


def _bindings(spec: Any) -> dict[str, Any]:
    """What a job says of a plugin's place that is no option of the plugin."""
    names = ("inputs", "outputs", "bind", "weight")
    return {name: spec[name] for name in names if name in spec} if isinstance(spec, Mapping) else {}


def stages_of(declares: Declares) -> tuple[int, ...]:
    """The ZeRO stages that a strategy declares: stage 3 has no second backward pass."""
    if "deepspeed" not in declares.engines:
        return ()
    return tuple(s for s in declares.zero_stages if s < 3 or not declares.second_backward)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``below`` with the values of ``above``; plugins and lists are replaced, sections merged."""
    result = {key: copy.deepcopy(value) for key, value in below.items()}
    for key, value in above.items():
        old = result.get(key)
        is_section = isinstance(old, Mapping) and isinstance(value, Mapping)
        if is_section and "name" not in value:
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result
