"""What a mean loss was divided by, so that means of parts add up to the mean of the whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.errors import PluginError, Problem
from trainwright.objective.binding import NameBinding, arguments_of

GROUP = "bag_id"
"""The column whose groups an objective keeps whole if it names none by its attribute ``group``."""

Denominator = Callable[[Mapping[str, Tensor]], Tensor]
"""Batch columns -> the number (scalar tensor) by which the objective divides its sum."""


def denominator_of(objective: nn.Module, bind: Mapping[str, str]) -> Denominator | None:
    """How ``objective`` counts what it averages over; None when it averages over samples.

    An objective says so by its attribute ``count``: the name of a batch column (or a tuple of
    names) whose sum is the number, or a method whose arguments name batch columns. The weighted
    and index-ignoring losses of ``torch.nn`` are known here. An objective that couples groups and
    says nothing averages over groups.

    Raises:
        PluginError: ``count`` is neither; somebody may have meant a counter.
    """
    count = getattr(objective, "count", None)
    if count is None and getattr(objective, "couples", "sample") == "group":
        column = group_of(objective, bind)
        return lambda batch: torch.tensor(float(len(torch.unique(batch[column])))).double()
    if count is None:
        return _torch_denominator(objective, bind)
    if callable(count):
        return _called(count, bind)
    names = (count,) if isinstance(count, str) else count
    if not isinstance(names, (tuple, list)) or not all(isinstance(name, str) for name in names):
        problem = Problem(
            "objective",
            f"the attribute count of {type(objective).__name__} names no batch columns",
            count,
            allowed="the name of a column, a tuple of names, or a method of columns",
            mend="if it counts something else, call it otherwise",
        )
        raise PluginError(problem)
    return lambda batch: torch.stack([batch[bind.get(n, n)].sum().double() for n in names]).sum()


def group_of(objective: nn.Module, bind: Mapping[str, str]) -> str:
    """The batch column whose groups ``objective`` couples."""
    name = str(getattr(objective, "group", GROUP))
    return bind.get(name, name)


def _called(count: Callable[..., Any], bind: Mapping[str, str]) -> Denominator:
    arguments = arguments_of(count)
    names = {a.name for a in arguments}
    binding = NameBinding(arguments, {k: v for k, v in bind.items() if k in names})
    return lambda batch: torch.as_tensor(count(**binding.collect({}, batch))).double()


def _torch_denominator(objective: nn.Module, bind: Mapping[str, str]) -> Denominator | None:
    if not isinstance(objective, (nn.CrossEntropyLoss, nn.NLLLoss)):
        return None
    weight, ignored = objective.weight, objective.ignore_index
    if weight is None and ignored == -100:
        return None
    column = bind.get("target", "target")

    def count(batch: Mapping[str, Tensor]) -> Tensor:
        target = batch[column]
        if target.is_floating_point():
            return torch.tensor(float(len(target)), dtype=torch.float64)
        kept = target[target != ignored]
        if weight is None:
            return torch.tensor(float(kept.numel()), dtype=torch.float64)
        return weight.detach().to(kept.device)[kept].sum().double()

    return count
