"""The few exchanges between workers that the loop itself makes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase


def is_distributed() -> bool:
    """Whether this process is one of several workers."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def sum_over_workers(values: Tensor, device: torch.device) -> Tensor:
    """The float64 sum of ``values`` over all workers, on the CPU."""
    values = values.double()
    if not is_distributed():
        return values.cpu()
    values = values.to(device) if dist.get_backend() == "nccl" else values.cpu()
    dist.all_reduce(values)
    return values.cpu()


def from_rank_zero(value: Any) -> Any:
    """Rank 0's ``value`` on every worker; it must be picklable and small."""
    if not is_distributed():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def from_everyone(value: Any) -> list[Any]:
    """The ``value`` of each worker by rank, on every worker; it must be picklable and small."""
    if not is_distributed():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def statistics_of(module: nn.Module) -> dict[str, Tensor]:
    """The running statistics of normalisation layers: the buffers that differ between workers."""
    found: dict[str, Tensor] = {}
    for prefix, layer in module.named_modules():
        if isinstance(layer, _NormBase) and layer.track_running_stats:
            for name, buffer in layer.named_buffers(recurse=False):
                if buffer.is_floating_point():
                    found[f"{prefix}.{name}"] = buffer
    return found


def averaged_statistics(module: nn.Module, device: torch.device) -> dict[str, Tensor]:
    """Running statistics averaged over the workers (a collective), without changing the module."""
    local = statistics_of(module)
    if not local or not is_distributed():
        return {name: value.clone() for name, value in local.items()}
    flat = torch.cat([value.reshape(-1).double() for value in local.values()])
    mean = sum_over_workers(flat, device) / dist.get_world_size()
    parts = torch.split(mean, [value.numel() for value in local.values()])
    return {
        name: part.reshape(value.shape).to(value)
        for (name, value), part in zip(local.items(), parts, strict=True)
    }


@contextmanager
def shared_statistics(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Inside, every worker's module has the averaged running statistics; after, its own again.

    Evaluation then gives the same result whichever worker sees a sample, and training goes on as
    if there had been none.
    """
    own = {name: value.clone() for name, value in statistics_of(module).items()}
    if not own or not is_distributed():
        yield
        return
    averaged = averaged_statistics(module, device)
    live = statistics_of(module)
    with torch.no_grad():
        for name, value in averaged.items():
            live[name].copy_(value)
        try:
            yield
        finally:
            for name, value in own.items():
                live[name].copy_(value)
