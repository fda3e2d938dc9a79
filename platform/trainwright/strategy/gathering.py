"""Rows of all workers in rank order, with the gradient of what is computed from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainwright.collectives import is_distributed


def row_counts(num_rows: int, device: torch.device) -> list[int]:
    """The number of rows on each worker, by rank (a collective)."""
    if not is_distributed():
        return [num_rows]
    own = _movable(torch.tensor([num_rows], device=device))
    counts = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    return [int(count) for count in counts]


def gather_rows(x: Tensor, counts: Sequence[int] | None = None) -> Tensor:
    """The rows of all workers in rank order, the same on each (a collective).

    The gradient is that of a loss which every worker computes from the gathered rows: what
    arrives at a worker's own rows is the sum of what all workers' losses say about them. Averaged
    over the workers, as an update does, it is the gradient of the mean of those losses, counted
    once. It can be differentiated again.

    Args:
        x: shape (own rows, ...); equal on all workers from the second dimension on.
        counts: rows of each worker where they are known already; saves one exchange.

    Raises:
        ValueError: ``x`` has no rows because it has no dimension.
    """
    if x.dim() == 0:
        raise ValueError("a tensor of shape () has no rows to gather: reshape it to (1,)")
    if not is_distributed():
        return x
    counts = row_counts(len(x), x.device) if counts is None else counts
    result: Tensor = _Gather.apply(x, tuple(counts), dist.get_rank())  # type: ignore[no-untyped-call]
    return result


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        ctx.counts, ctx.rank = counts, rank
        return _all_rows(x, counts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Own.apply(grad, ctx.counts, ctx.rank), None, None  # type: ignore[no-untyped-call]


class _Own(torch.autograd.Function):
    """A worker's own rows of the sum over workers: the transpose of :class:`_Gather`."""

    @staticmethod
    def forward(ctx: Any, full: Tensor, counts: tuple[int, ...], rank: int) -> Tensor:
        ctx.counts, ctx.rank = counts, rank
        # Half precision would lose digits in the sum.
        total = full.detach().to(torch.promote_types(full.dtype, torch.float32), copy=True)
        total = _movable(total.contiguous())
        dist.all_reduce(total)
        return total.narrow(0, sum(counts[:rank]), counts[rank]).to(full)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _Gather.apply(grad, ctx.counts, ctx.rank), None, None  # type: ignore[no-untyped-call]


def _all_rows(x: Tensor, counts: Sequence[int]) -> Tensor:
    """All workers' rows; shorter ones are padded on the way, since collectives want equal sizes."""
    largest = max(counts)
    if largest == 0:
        return x.detach().clone()
    flat = x.detach().reshape(len(x), math.prod(x.shape[1:])).contiguous()
    padded = flat.new_zeros(largest, flat.shape[1])
    padded[: len(x)] = flat
    # As bytes: a backend need not know the number format of what it only carries.
    sent = _movable(padded).view(torch.uint8)
    parts = [torch.empty_like(sent) for _ in counts]
    dist.all_gather(parts, sent)
    rows = [part.view(x.dtype)[:n] for part, n in zip(parts, counts, strict=True)]
    return torch.cat(rows).reshape(sum(counts), *x.shape[1:]).to(x.device)


def _movable(x: Tensor) -> Tensor:
    """On the device whose memory the backend can reach."""
    return x if dist.get_backend() == "nccl" else x.cpu()
