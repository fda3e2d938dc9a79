"""Finding the arguments of a loss or a model by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainwright.suggest import nearest

PRIMARY_ALIASES = ("input", "preds", "logits", "output", "prediction")
"""Argument names that mean the model's first output when nothing carries the name itself."""


@dataclass(frozen=True)
class Argument:
    """One argument of a callable: its name and whether it may be left out."""

    name: str
    optional: bool


def arguments_of(function: Callable[..., Any]) -> list[Argument]:
    """The named arguments of ``function`` (of a module: of its ``forward``), without ``self``.

    ``*args`` and ``**kwargs`` are left out: nothing can be bound to them by name.
    """
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return [
        Argument(item.name, item.default is not inspect.Parameter.empty)
        for item in parameters
        if item.kind in kinds
    ]


@dataclass(frozen=True)
class Missing:
    """An argument for which neither the model nor the data has a value."""

    argument: str
    wanted: str
    outputs: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def nearest(self) -> str | None:
        """The available name spelled most like the wanted one."""
        return nearest(self.wanted, [*self.outputs, *self.columns])


class NameBinding:
    """Chooses, for each argument of a callable, a model output or a batch column.

    For an argument ``a`` the first of these that exists is taken: the name that ``bind`` gives
    for it, the model output ``a``, the model's first output if ``a`` is one of
    ``PRIMARY_ALIASES``, the batch column ``a``, the argument's own default.
    """

    def __init__(self, arguments: Sequence[Argument], bind: Mapping[str, str]) -> None:
        self.arguments = list(arguments)
        self.bind = dict(bind)
        self.unknown = [name for name in bind if name not in {a.name for a in arguments}]

    def missing(self, outputs: Sequence[str], columns: Sequence[str]) -> list[Missing]:
        """The arguments that could not be found among these names."""
        found = self._sources(tuple(outputs), tuple(columns))
        return [
            Missing(a.name, self.bind.get(a.name, a.name), tuple(outputs), tuple(columns))
            for a in self.arguments
            if a.name not in found and (not a.optional or a.name in self.bind)
        ]

    def columns(self, outputs: Sequence[str], columns: Sequence[str]) -> set[str]:
        """The batch columns that a call would read."""
        found = self._sources(tuple(outputs), tuple(columns))
        return {name for from_model, name in found.values() if not from_model}

    def collect(
        self, outputs: Mapping[str, Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """The keyword arguments for one call.

        Raises:
            KeyError: an argument without default is in neither mapping.
        """
        found = self._sources(tuple(outputs), tuple(batch))
        values: dict[str, Tensor] = {}
        for argument in self.arguments:
            if argument.name in found:
                from_model, name = found[argument.name]
                values[argument.name] = outputs[name] if from_model else batch[name]
            elif not argument.optional:
                raise KeyError(self.bind.get(argument.name, argument.name))
        return values

    def _sources(
        self, outputs: tuple[str, ...], columns: tuple[str, ...]
    ) -> dict[str, tuple[bool, str]]:
        names = (outputs, columns)
        if getattr(self, "_cached_names", None) != names:
            self._cached_names = names
            self._cached = {
                a.name: source for a in self.arguments if (source := self._source(a, *names))
            }
        return self._cached

    def _source(
        self, argument: Argument, outputs: tuple[str, ...], columns: tuple[str, ...]
    ) -> tuple[bool, str] | None:
        wanted = self.bind.get(argument.name, argument.name)
        if wanted in outputs:
            return True, wanted
        if argument.name not in self.bind and wanted in PRIMARY_ALIASES and outputs:
            return True, primary(outputs)
        if wanted in columns:
            return False, wanted
        return None


def primary(outputs: Sequence[str]) -> str:
    """The name of the output that stands for the model's answer: ``logits``, else the first."""
    return "logits" if "logits" in outputs else outputs[0]
