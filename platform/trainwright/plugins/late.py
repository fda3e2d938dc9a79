"""Importing torchmetrics without what it imports and nothing but a few of its functions need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any, TypeAlias

Library: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Module -> what it has at once."""


def import_torchmetrics() -> None:
    """Import torchmetrics in 0.3 instead of 2.4 seconds of a processor.

    It imports transformers for two metrics of texts, matplotlib for its own plots and
    ``scipy.signal`` to mend it for a library that is hardly ever there. The first two are imported
    when something of them is called; its plots are then drawn in the style that is set.
    """
    if "torchmetrics" in sys.modules:
        return
    absent: list[Library] = [
        {"transformers": {}},
        {
            "matplotlib": {},
            "matplotlib.axes": {},
            "matplotlib.pyplot": {"style": SimpleNamespace(context=_undecorated)},
        },
    ]
    if importlib.util.find_spec("srmrpy") is None:
        absent.append({"scipy.signal": {}})
    importlib.import_module("torch")  # which looks what else is there
    with stood_in_for(absent):
        importlib.import_module("torchmetrics")


class Late:
    """Something of a library that is imported when it is called.

    Args:
        name: dotted, with its module.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Late:
        if name.startswith("__"):
            raise AttributeError(name)
        return Late(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Import it and call it."""
        return resolve_name(self._name)(*args, **kwargs)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, resolve_name(self._name))


@contextmanager
def stood_in_for(libraries: Iterable[Library]) -> Iterator[None]:
    """Inside, all is late of libraries that are installed and not there yet.

    Args:
        libraries: of each the modules that are asked for, the one that holds the others first.
    """
    names: list[str] = []
    for library in libraries:
        first = next(iter(library))
        if first in sys.modules or importlib.util.find_spec(first.partition(".")[0]) is None:
            continue
        names += library
        sys.modules |= {name: _stand_in(name, has) for name, has in library.items()}
        for name in [name for name in library if name != first]:
            setattr(sys.modules[first], name.removeprefix(f"{first}."), sys.modules[name])
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]


def _stand_in(name: str, attributes: Mapping[str, Any]) -> ModuleType:
    module = ModuleType(name)
    vars(module).update(attributes, __getattr__=lambda child: Late(f"{name}.{child}"), __path__=[])
    return module


def _undecorated(style: Any) -> Callable[[Any], Any]:
    return lambda function: function
