"""How each of DeepSpeed's optimizers lays out parameters: the only place that knows.

Stages 1 and 2 (and DeepSpeed's bf16 optimizer) cut one flat buffer per parameter group into
equal parts; stage 3 cuts every parameter by itself; stage 0 keeps parameters whole, in half
precision with a float32 copy of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from trainwright.checkpoint import Checkpoint
from trainwright.engine.fragments import PARAMETER, Fragment, whole

Parameters = Mapping[str, nn.Parameter]


def fragments_of(engine: Any, parameters: Parameters, rank: int) -> list[Fragment]:
    """This worker's fragments of all trainable parameters, in the order of their names."""
    wrapped = engine.optimizer
    if any(hasattr(p, "ds_id") for p in parameters.values()):
        return list(_sharded_each(wrapped, parameters, rank))
    if any(hasattr(p, "_hp_mapping") for p in parameters.values()):
        return list(_sharded_flat(wrapped, parameters))
    if hasattr(wrapped, "fp32_groups"):
        return list(_half_with_master(wrapped, parameters))
    return [whole(name, p, p.data) for name, p in parameters.items()]


def _half_with_master(wrapped: Any, parameters: Parameters) -> Iterator[Fragment]:
    masters = {
        id(half): master
        for halves, full in zip(wrapped.fp16_groups, wrapped.fp32_groups, strict=True)
        for half, master in zip(halves, full, strict=True)
    }
    for name, parameter in parameters.items():
        master = masters[id(parameter)]
        yield whole(name, parameter, master.data, master)


def _sharded_flat(wrapped: Any, parameters: Parameters) -> Iterator[Fragment]:
    owners = [group["params"][0] for group in wrapped.optimizer.param_groups]
    for name, parameter in parameters.items():
        mapping = parameter._hp_mapping  # type: ignore[attr-defined]
        if mapping is None:
            continue
        yield Fragment(
            name,
            tuple(parameter.shape),
            int(mapping.lp_fragment_address.start),
            mapping.hp_fragment.view(-1),
            owners[mapping.param_group_index],
            int(mapping.hp_fragment_address.start),
        )


def _sharded_each(wrapped: Any, parameters: Parameters, rank: int) -> Iterator[Fragment]:
    for name, parameter in parameters.items():
        group, offset, length = wrapped.grad_position[wrapped.get_param_id(parameter)]
        total = int(parameter.ds_numel)  # type: ignore[attr-defined]
        start = min(rank * length, total)
        held = min(length, total - start)
        owner = wrapped.fp32_partitioned_groups_flat[group]
        master = owner.detach().narrow(0, offset, held)
        shape = tuple(parameter.ds_shape)  # type: ignore[attr-defined]
        yield Fragment(name, shape, start, master, owner, offset)


def refresh_module_copy(parameters: Parameters, checkpoint: Checkpoint, rank: int) -> None:
    """Copy a checkpoint's weights into the module's own (possibly half-precision) tensors."""
    for name, parameter in parameters.items():
        if not hasattr(parameter, "ds_id"):
            full = checkpoint.full(PARAMETER, name).reshape(parameter.shape)
            parameter.data.copy_(full)
            continue
        held = parameter.ds_tensor  # type: ignore[attr-defined]
        start = min(rank * held.numel(), int(parameter.ds_numel))  # type: ignore[attr-defined]
        length = min(held.numel(), int(parameter.ds_numel) - start)  # type: ignore[attr-defined]
        held.data.view(-1)[:length].copy_(checkpoint.read(PARAMETER, name, start, length))
        if parameter.data.numel() == parameter.ds_numel:  # type: ignore[attr-defined]
            full = checkpoint.full(PARAMETER, name).reshape(parameter.data.shape)
            parameter.data.copy_(full)


def frozen_fragments(frozen: Parameters, rank: int) -> list[Fragment]:
    """Parameters that are not trained: whole on every worker, or at stage 3 cut like the others."""
    found = []
    for name, parameter in frozen.items():
        if not hasattr(parameter, "ds_id"):
            found.append(whole(name, parameter, parameter.data))
            continue
        held = parameter.ds_tensor  # type: ignore[attr-defined]
        total = int(parameter.ds_numel)  # type: ignore[attr-defined]
        start = min(rank * held.numel(), total)
        part = held.data.view(-1)[: min(held.numel(), total - start)]
        shape = tuple(parameter.ds_shape)  # type: ignore[attr-defined]
        found.append(Fragment(name, shape, start, part, held, 0))
    return found
