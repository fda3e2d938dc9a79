"""A loss with a given gradient: how a gradient is handed to an engine that takes only losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def linear_loss(parameters: Mapping[str, nn.Parameter], gradients: Mapping[str, Tensor]) -> Tensor:
    """A scalar, 0, whose gradient by each parameter is the given one.

    Args:
        parameters: by name, whole.
        gradients: a tensor of the parameter's shape for each name.
    """
    given = [gradients[name] for name in parameters]
    loss: Tensor = _Linear.apply(given, *parameters.values())  # type: ignore[no-untyped-call]
    return loss


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradients: list[Tensor], *parameters: Tensor) -> Tensor:
        ctx.gradients = gradients
        ctx.dtypes = [parameter.dtype for parameter in parameters]
        return torch.zeros((), dtype=torch.float32, device=parameters[0].device)

    @staticmethod
    def backward(ctx: Any, *scales: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = scales
        scaled = [
            (gradient.detach() * scale).to(dtype)
            for gradient, dtype in zip(ctx.gradients, ctx.dtypes, strict=True)
        ]
        return (None, *scaled)
