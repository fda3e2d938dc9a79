"""An optimizer's step and what clears its gradients, without what torch puts around them."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim import optimizer as base


def spare_compiler(optimizer: Optimizer) -> None:
    """Let an optimizer of torch's step and clear its gradients without importing the compiler.

    Torch marks each step for its profiler, looks for hooks, and switches gradients off in a way
    that its compiler understands: of small models that takes longer than the step. Its methods
    import ``torch._dynamo`` when they are first called, which takes a process longer than
    ``import torch`` does: a second and a half of every worker's way to its first update. For
    torch's own optimizers all that is left out, as long as there are no hooks and no closure;
    others keep it. What stands in are methods, as schedules of torch and copies need them to be.
    """
    kind = type(optimizer)
    if not kind.__module__.startswith("torch.optim."):
        return
    function = _bare(kind.step)

    def step(self: Optimizer, closure: Callable[[], float] | None = None) -> Any:
        if closure is not None or _has_hooks(self):
            return kind.step(self, closure)
        with torch.no_grad():
            return function(self)

    optimizer.step = MethodType(step, optimizer)  # type: ignore[method-assign]
    clear = MethodType(_bare(kind.zero_grad), optimizer)
    optimizer.zero_grad = clear  # type: ignore[method-assign]


def _has_hooks(optimizer: Optimizer) -> bool:
    return any(
        (
            optimizer._optimizer_step_pre_hooks,
            optimizer._optimizer_step_post_hooks,
            base._global_optimizer_pre_hooks,
            base._global_optimizer_post_hooks,
        )
    )


def _bare(function: Any) -> Any:
    """A method of an optimizer without its wrappers."""
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function
