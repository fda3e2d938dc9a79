"""Importing torchmetrics without what it imports and nothing but a few of its functions need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pkgutil import resolve_name
from types import ModuleType, SimpleNamespace
from typing import Any


def import_torchmetrics() -> None:
    """Import torchmetrics in 0.3 instead of 2.4 seconds of a processor.

    It imports transformers for two metrics of texts, matplotlib for its own plots and
    ``scipy.signal`` to mend it for a library that is hardly ever there. The first two are imported
    when something of them is called; its plots are then drawn in the style that is set.
    """
    if "torchmetrics" in sys.modules:
        return
    absent: dict[str, Mapping[str, Any]] = {
        "transformers": {},
        "matplotlib": {},
        "matplotlib.axes": {},
        "matplotlib.pyplot": {"style": SimpleNamespace(context=_undecorated)},
    }
    if importlib.util.find_spec("srmrpy") is None:
        absent["scipy.signal"] = {}
    importlib.import_module("torch")  # which looks what else is there
    with _stood_in_for(absent):
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
def _stood_in_for(modules: Mapping[str, Mapping[str, Any]]) -> Iterator[None]:
    """Inside, of modules that are installed and not there yet all is late.

    Args:
        modules: name -> what it has at once.
    """
    installed = {name for name in modules if importlib.util.find_spec(name.partition(".")[0])}
    names = [name for name in modules if name in installed - sys.modules.keys()]
    for name in names:
        sys.modules[name] = _stand_in(name, modules[name])
    for name in names:
        parent, _, child = name.rpartition(".")
        if parent in names:
            setattr(sys.modules[parent], child, sys.modules[name])
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
