"""Differentiating a loss without touching what is kept between updates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from trainwright.strategy import Batch, Loss

Parameters = Mapping[str, nn.Parameter]


def scalar_of(loss: Tensor | Loss) -> Tensor:
    """The number to differentiate."""
    return loss.value if isinstance(loss, Loss) else loss


def add_gradient(total: Mapping[str, Tensor], value: Tensor, parameters: Parameters) -> None:
    """Add the gradient of ``value`` to ``total``; parameters it does not use add nothing."""
    gradients = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    with torch.no_grad():
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name].add_(gradient.reshape(total[name].shape))


def input_gradient(
    loss: Callable[[Batch], Tensor | Loss],
    batch: Batch,
    columns: Sequence[str],
    scale: float = 1.0,
) -> dict[str, Tensor]:
    """The gradient of ``len(batch) * loss(batch)`` by columns; parameters get none.

    Raises:
        ValueError: a column is missing, does not hold floating-point numbers, or is one that the
            loss does not depend on.
    """
    for name in columns:
        if name not in batch or not batch[name].is_floating_point():
            floating = [n for n, value in batch.items() if value.is_floating_point()]
            raise ValueError(
                f"the loss cannot be differentiated by column {name!r}; "
                f"columns of floating-point numbers are {', '.join(floating)}"
            )
    leaves = {name: batch[name].detach().clone().requires_grad_() for name in columns}
    value = scalar_of(loss({**batch, **leaves}))
    size = len(next(iter(batch.values())))
    found = torch.autograd.grad(value * (size * scale), list(leaves.values()), allow_unused=True)
    gradients = {}
    for name, gradient in zip(leaves, found, strict=True):
        if gradient is None:
            raise ValueError(f"the loss does not depend on column {name!r}")
        gradients[name] = gradient / scale if scale != 1.0 else gradient
    return gradients


def moving_buffers(module: nn.Module) -> list[tuple[nn.Module, str, Tensor]]:
    """Buffers that a forward pass may change: the module that has each, and its name there.

    A module whose attribute ``steady_buffers`` is true has none of those. It says so where they are
    large, for they need not be copied in every update then.
    """
    return [
        (part, name, buffer)
        for part in module.modules()
        if not getattr(part, "steady_buffers", False)
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]


@contextmanager
def kept_buffers(module: nn.Module) -> Iterator[None]:
    """Buffers (running statistics, queues) are afterwards what they were.

    Inside, the modules hold copies: a graph built inside or before may still be differentiated
    afterwards, which putting values back into the same tensors would forbid.
    """
    own = moving_buffers(module)
    copies = {id(buffer): buffer.clone() for _, _, buffer in own}
    try:
        for part, name, buffer in own:
            part._buffers[name] = copies[id(buffer)]
        yield
    finally:
        for part, name, buffer in own:
            part._buffers[name] = buffer
