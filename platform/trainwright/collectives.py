"""The few small exchanges between workers, which do nothing where there is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainwright.errors import RunError


def is_distributed() -> bool:
    """Whether this process is one of several workers."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_workers(values: Tensor, device: torch.device) -> Tensor:
    """The float64 sum of ``values`` over all workers, on the CPU."""
    return begin_sum_over_workers(values, device)()


def begin_sum_over_workers(values: Tensor, device: torch.device) -> Callable[[], Tensor]:
    """As :func:`sum_over_workers`, but goes on at once; the answer waits for the sum."""
    values = values.double()
    if not is_distributed():
        return values.cpu
    values = values.to(device) if dist.get_backend() == "nccl" else values.cpu()
    under_way = dist.all_reduce(values, async_op=True)

    def end() -> Tensor:
        under_way.wait()
        return values.cpu()

    return end


def from_rank_zero(value: Any) -> Any:
    """Rank 0's ``value`` on every worker; it must be picklable and small."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def decided_by_rank_zero(rank: int, decide: Callable[[], Any]) -> Any:
    """What rank 0 decides, on every worker, which fail together where it cannot.

    Args:
        rank: this worker.
        decide: called on rank 0; its value must be picklable and small.

    Raises:
        Exception: on rank 0 what ``decide`` raised.
        RunError: on the others, with its text.
    """
    if rank != 0:
        value, failure = from_rank_zero(None)
        if failure is not None:
            raise RunError(f"worker 0 failed: {failure}")
        return value
    try:
        value = decide()
    except Exception as error:
        from_rank_zero((None, f"{type(error).__name__}: {error}"))
        raise
    from_rank_zero((value, None))
    return value


def from_everyone(value: Any) -> list[Any]:
    """The ``value`` of each worker by rank, on every worker; it must be picklable and small."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
