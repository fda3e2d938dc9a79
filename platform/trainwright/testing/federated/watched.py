"""An aggregator under observation: each of its methods must be a pure function."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from trainwright.federated import Aggregator
from trainwright.testing.trace import same

HOOKS = (
    "check",
    "start",
    "broadcast",
    "client_state",
    "local_tensors",
    "loss",
    "gradients",
    "end",
    "server",
)


class Watched(Aggregator):
    """Does what another aggregator does, and notes what each of its methods does besides.

    Attributes:
        faults: what was seen, in words, each once.
    """

    def __init__(self, inner: Aggregator) -> None:
        self.reduce = inner.reduce
        self.weighting = inner.weighting
        self.keeps_state = inner.keeps_state
        self.functional = inner.functional
        self.faults: dict[str, None] = {}
        for name in HOOKS:
            setattr(self, name, self._watch(name, getattr(inner, name), inner))

    def _watch(self, name: str, method: Callable[..., Any], inner: Aggregator) -> Any:
        def call(*arguments: Any) -> Any:
            before, own = _copy(arguments), _copy(vars(inner))
            first = method(*arguments)
            copied = _copy(first)
            second = method(*arguments)
            if not same(before, _copy(arguments)):
                self.faults[f"{name} changes its arguments"] = None
            if not same(own, _copy(vars(inner))):
                self.faults[f"{name} changes attributes of self"] = None
            if not same(copied, _copy(second)):
                self.faults[f"{name} gives another result for the same arguments"] = None
            return first

        return call


def _copy(value: Any) -> Any:
    """Plain containers with copies of all tensors; what is neither is taken as it is."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: _copy(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return value
