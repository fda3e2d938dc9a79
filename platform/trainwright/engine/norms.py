"""Norms of many gradients at once, of which each worker may hold parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from trainwright.collectives import is_distributed


def norms_of(parts: Sequence[Tensor | None], device: torch.device, sharded: bool) -> Tensor:
    """The L2 norm of each tensor, without a wait for the device (a collective if ``sharded``).

    Args:
        parts: what this worker holds of each; None where it holds nothing.
        device: where the norms shall be.
        sharded: whether the parts of all workers together are the tensors.

    Returns:
        float32 of shape (len(parts),).
    """
    held = [part for part in parts if part is not None and part.numel()]
    if not held:
        norms = torch.zeros(len(parts), device=device)
    else:
        found = iter(torch._foreach_norm(held, 2, dtype=torch.float32))
        none = torch.zeros((), device=device)
        norms = torch.stack(
            [next(found) if part is not None and part.numel() else none for part in parts]
        )
    if not sharded or not is_distributed():
        return norms
    squares = norms.square()
    dist.all_reduce(squares)
    return squares.sqrt()
