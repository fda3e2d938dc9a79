"""Running statistics of normalisation layers, which each worker has of its own samples."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from trainwright.collectives import is_distributed, sum_over_workers


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
