"""Steps of an optimizer without what torch puts around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


def plain_step(optimizer: Optimizer) -> Callable[[], Any]:
    """The optimizer's step, for models so small that torch's wrappers take longer than it does.

    Torch marks each step for its profiler, looks for hooks, and switches gradients off in a way
    that its compiler understands. For its own optimizers the answer leaves that out; others, and
    those with hooks, keep all of it.
    """
    kind = type(optimizer)
    hooks = optimizer._optimizer_step_pre_hooks, optimizer._optimizer_step_post_hooks
    if not kind.__module__.startswith("torch.optim.") or any(hooks):
        return optimizer.step
    function: Any = kind.step
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__

    def step() -> None:
        with torch.no_grad():
            function(optimizer)

    return step
