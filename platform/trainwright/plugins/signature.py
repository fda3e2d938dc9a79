"""What a plugin's constructor takes, with its annotations resolved."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trainwright.plugins.groups import Plugin

EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Parameter:
    """One option of a plugin.

    Attributes:
        name: the option's name.
        annotation: its type, resolved; ``Any`` where there is none.
        default: the value used when it is not given; ``EMPTY`` if it must be given.
    """

    name: str
    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is EMPTY


@dataclass(frozen=True)
class Signature:
    """The options of a plugin.

    Attributes:
        parameters: the named options, in order.
        open: whether further options are accepted (``**kwargs``).
    """

    parameters: dict[str, Parameter]
    open: bool

    @classmethod
    def of(cls, plugin: Plugin) -> Signature:
        """The options of ``plugin``."""
        found = parameters_of(plugin.factory)
        return cls({item.name: item for item in found}, takes_more(plugin.factory))


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def parameters_of(factory: Any) -> list[Parameter]:
    """The named parameters of a class's constructor, or of a function, types resolved."""
    hints = {} if hasattr(factory, "__signature__") else resolved_hints(constructor(factory)[0])
    return [
        Parameter(item.name, hints.get(item.name, _own(item)), item.default)
        for item in _given(factory)
        if item.kind in _NAMED
    ]


def takes_more(factory: Any) -> bool:
    """Whether keyword arguments beyond the named ones are accepted."""
    return any(item.kind is inspect.Parameter.VAR_KEYWORD for item in _given(factory))


def _given(factory: Any) -> list[inspect.Parameter]:
    function, skip = constructor(factory)
    try:
        return list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError):  # written in C without a signature: nothing is known
        return [inspect.Parameter("more", inspect.Parameter.VAR_KEYWORD)]


def _own(item: inspect.Parameter) -> Any:
    return Any if item.annotation is EMPTY or isinstance(item.annotation, str) else item.annotation


def constructor(factory: Any) -> tuple[Callable[..., Any], int]:
    """The function whose parameters are the options, and how many leading ones to leave out.

    For a class that is the ``__init__`` or ``__new__`` that its most derived base defines;
    a ``__signature__`` of its own goes before both.
    """
    if not inspect.isclass(factory) or hasattr(factory, "__signature__"):
        return factory, 0
    for base in factory.__mro__[:-1]:
        if base.__module__ in _TAKE_ANYTHING:
            continue
        for name in ("__init__", "__new__"):
            if name in vars(base):
                return getattr(base, name), 1
    return _nothing, 0


def _nothing() -> None:
    """The constructor of a class that has none: no options."""


_TAKE_ANYTHING = ("torch.nn.modules.module", "typing", "typing_extensions", "abc")
"""Modules of base classes whose ``__init__`` has ``**kwargs`` that it refuses when called."""


def resolved_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of ``function`` as types.

    An annotation that cannot be resolved (its import is only there for type checkers) is left
    out, alone; the others are kept. The answer for a plain
    function is remembered: every trial of a sweep asks again.
    """
    is_plain = isinstance(function, types.FunctionType)
    return dict(_remembered_hints(function) if is_plain else _hints(function))


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError):
        return _one_by_one(function)


_remembered_hints = lru_cache(maxsize=1024)(_hints)


def _one_by_one(function: Callable[..., Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    names = getattr(inspect.unwrap(function), "__globals__", {})
    for name, annotation in getattr(function, "__annotations__", {}).items():
        one = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= typing.get_type_hints(one, globalns=names, include_extras=True)
        except (NameError, AttributeError, TypeError):
            continue  # no type is known for this parameter: anything is accepted
    return hints
