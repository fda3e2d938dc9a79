"""What a finished run left behind, and how two runs differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainwright.checkpoint import CheckpointStore
from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage


@dataclass(frozen=True)
class Trace:
    """Everything that a run's numbers can be judged by, read from its folder.

    Attributes:
        url: the run's folder.
        metrics: (name, step) -> value; what depends on the clock is left out.
        tensors: (kind, name) -> weights, buffers and optimizer state at the end.
        strategies: short name -> state of the strategy at the end.
        steps: updates finished.
        checkpoints: names of the checkpoints, oldest first.
    """

    url: str
    metrics: Mapping[tuple[str, int], float]
    tensors: Mapping[tuple[str, str], Tensor]
    strategies: Mapping[str, Any]
    steps: int
    checkpoints: tuple[str, ...]

    @classmethod
    def read(cls, url: str) -> Trace:
        """The trace of the run in the folder ``url``."""
        folder = Folder(url)
        metrics = {
            (name, row["step"]): value
            for row in read_lineage(folder)
            if row["kind"] == "metrics"
            for name, value in row["values"].items()
            if not name.startswith("system/")
        }
        every = CheckpointStore(folder).list()
        last = every[-1]
        tensors = {(k, name): last.full(k, name) for k in last.kinds() for name in last.names(k)}
        names = tuple(one.name for one in every)
        return cls(url, metrics, tensors, last.state["strategies"], last.step, names)

    def curve(self, name: str) -> list[float]:
        """The values of one metric in the order of steps."""
        return [value for (key, _), value in sorted(self.metrics.items()) if key == name]

    def weights(self) -> dict[str, Tensor]:
        """The final float32 weights by name."""
        return {name: value for (kind, name), value in self.tensors.items() if kind == "param"}


def differences(
    first: Trace, second: Trace, *, after: int = 0, only_known: bool = False
) -> Iterator[str]:
    """What differs between two runs, to the last bit, in words.

    Args:
        first: the run that is taken as right.
        second: the other.
        after: metrics up to this update are left out, where ``second`` began there.
        only_known: leave out what only ``second`` has (a probe's measurements).
    """
    if first.steps != second.steps:
        yield f"updates: {first.steps} and {second.steps}"
    expected = {key: value for key, value in first.metrics.items() if key[1] > after}
    found = {key: value for key, value in second.metrics.items() if key[1] > after}
    yield from _compared(expected, found, only_known)
    yield from _compared(first.tensors, second.tensors, only_known)


def _compared(
    expected: Mapping[Any, Any], found: Mapping[Any, Any], only_known: bool
) -> Iterator[str]:
    for key in expected:
        if key not in found:
            yield f"{_named(key)} is missing in the second run"
        elif not same(expected[key], found[key]):
            yield f"{_named(key)}: {_shown(expected[key])} and {_shown(found[key])}"
    if not only_known:
        yield from (
            f"{_named(key)} is only in the second run" for key in found if key not in expected
        )


def _named(key: tuple[str, Any]) -> str:
    return f"{key[0]} at step {key[1]}" if isinstance(key[1], int) else f"{key[0]} {key[1]}"


def _shown(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)} and norm {float(value.double().norm())!r}"
    return repr(value)


def same(first: Any, second: Any) -> bool:
    """Whether two states are equal to the last bit: tensors and plain values, nested."""
    if isinstance(first, Tensor) or isinstance(second, Tensor):
        return _same_tensors(first, second)
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        return first.keys() == second.keys() and all(same(first[k], second[k]) for k in first)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        pairs = zip(first, second, strict=False)
        return len(first) == len(second) and all(same(a, b) for a, b in pairs)
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return bool(first == second)


def _same_tensors(first: Any, second: Any) -> bool:
    if not (isinstance(first, Tensor) and isinstance(second, Tensor)):
        return False
    if first.dtype != second.dtype or first.shape != second.shape:
        return False
    if not first.is_floating_point():
        return torch.equal(first, second)
    both_nan = first.isnan() & second.isnan()
    return bool(((first == second) | both_nan).all())
