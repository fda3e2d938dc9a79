"""Metric states over workers whose shares differ, or are empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

if TYPE_CHECKING:
    from torchmetrics import Metric


def even_out(metric: Metric) -> None:
    """Give every worker the same number and kinds of tensors in the metric's list states.

    torchmetrics gathers one tensor after the other. A worker that saw more batches, or none,
    would take part in more or fewer of these exchanges than the others, or with another type:
    the workers would wait for each other for ever, or read garbage. So each list is joined to
    one tensor, and where there is none an empty tensor of the others' type is put.

    A collective operation when several workers train; nothing happens otherwise. Metrics with
    a way of their own to gather their states are left alone.
    """
    from torchmetrics import Metric

    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    if type(metric)._sync_dist is not Metric._sync_dist:
        return
    lists = {name: state for name, state in metric.metric_state.items() if isinstance(state, list)}
    if not lists:
        return
    joined = {
        name: torch.cat([part.reshape(-1) if part.ndim == 0 else part for part in state])
        for name, state in lists.items()
        if state
    }
    kinds = {name: (tensor.dtype, tuple(tensor.shape[1:])) for name, tensor in joined.items()}
    everywhere: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(everywhere, kinds)
    for name in lists:
        tensor = joined.get(name)
        if tensor is None:
            tensor = _empty(name, everywhere, metric.device)
        setattr(metric, name, [] if tensor is None else [tensor])


def _empty(name: str, everywhere: list[Any], device: torch.device) -> Tensor | None:
    for kinds in everywhere:
        if name in kinds:
            dtype, shape = kinds[name]
            return torch.empty((0, *shape), dtype=dtype, device=device)
    return None
