"""Normalisation of equal ghost batches in few passes over contiguous memory of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import FunctionCtx

MIN_VALUES = 64
"""Values of one channel in one sample below which torch's own batch norm is faster (measured on
one core: at 64 the forward pass takes two thirds of the time, at 1 three times as long)."""


def applies(input: Tensor, weight: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> bool:
    """Whether :func:`normalise` may take these, and is faster.

    Forward-mode derivatives, which it does not have, are left to torch's batch norm.

    Args:
        input: the batch.
        weight: scale.
        bias: shift.
        dtype: of the statistics.
    """
    return (
        input.device.type == "cpu"
        and input.dtype == dtype
        and input.is_contiguous()
        and input[0, 0].numel() >= MIN_VALUES
        and not any(_has_tangent(tensor) for tensor in (input, weight, bias) if tensor is not None)
    )


def _has_tangent(tensor: Tensor) -> bool:
    return forward_ad.unpack_dual(tensor).tangent is not None  # type: ignore[no-untyped-call]


def normalise(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, num_ghosts: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Normalise consecutive ghost batches of the same size, each by its own statistics.

    torch's batch norm on a CPU adds up a channel one value after another; here sums are
    vectorised, and no part of the batch is cut out or joined on the way forward.

    Args:
        input: (K * G, C) or (K * G, C, *spatial), contiguous, float32 or float64.
        weight: scale (C,), or none.
        bias: shift (C,), or none.
        num_ghosts: K.
        eps: added to the variances.

    Returns:
        The output, of the shape of ``input``; means and unbiased variances (K, C), which carry no
        gradient.
    """
    output, means, variances, _ = _Normalise.apply(  # type: ignore[no-untyped-call]
        input, weight, bias, num_ghosts, eps
    )
    return output, means, variances


class _Normalise(torch.autograd.Function):
    """The forward pass in passes of our own; the gradient is that of torch's batch norm."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        input: Tensor, weight: Tensor | None, bias: Tensor | None, num_ghosts: int, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        channels = input.shape[1]
        parts = input.view(num_ghosts, len(input) // num_ghosts, channels, -1)
        values = parts.shape[1] * parts.shape[3]
        means = parts.mean(-1).mean(1)
        output = parts - means[:, None, :, None]
        squares = torch.linalg.vector_norm(torch.linalg.vector_norm(output, dim=-1), dim=1).square()
        inverse = torch.rsqrt(squares / values + eps)
        output.mul_((inverse if weight is None else inverse * weight)[:, None, :, None])
        if bias is not None:
            output.add_(bias[:, None])
        return output.view(input.shape), means, squares / (values - 1), inverse

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        input, weight, bias, _, ctx.eps = inputs
        _, means, variances, inverse = output
        ctx.has_bias = bias is not None
        ctx.save_for_backward(input, weight, means, inverse)
        ctx.mark_non_differentiable(means, variances, inverse)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if gradients[0] is None:
            return (None,) * 5
        input, weight, means, inverse = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous()
        size = len(input) // len(means)
        wanted = [True, weight is not None, ctx.has_bias]  # type: ignore[attr-defined]
        parts = [
            torch.ops.aten.native_batch_norm_backward(
                *part, weight, None, None, *statistics, True,
                ctx.eps, wanted,  # type: ignore[attr-defined]
            )
            for part, statistics in zip(
                zip(torch.split(gradient, size), torch.split(input, size), strict=True),
                zip(means, inverse, strict=True),
                strict=True,
            )
        ]  # fmt: skip
        by_input, *shared = zip(*parts, strict=True)
        sums = (
            torch.stack(each).sum(0) if want else None
            for each, want in zip(shared, wanted[1:], strict=True)
        )
        return torch.cat(by_input), *sums, None, None
