"""How each of DeepSpeed's optimizers lays out parameters: the only place that knows.

Stages 1 and 2 (and DeepSpeed's bf16 optimizer) cut one flat buffer per parameter group into
equal parts; stage 3 cuts every parameter by itself; stage 0 keeps parameters whole, in half
precision with a float32 copy of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from trainwright.engine.fragments import Fragment, whole

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


def local_gradients(engine: Any, parameters: Parameters) -> Iterator[Tensor]:
    """This worker's parts of the reduced gradient, between backward and step."""
    wrapped = engine.optimizer
    if hasattr(wrapped, "grad_partitions_flat_buffer"):
        yield wrapped.grad_partitions_flat_buffer
    elif getattr(wrapped, "cpu_offload", False):
        yield from (part.grad for part in wrapped.single_partition_of_fp32_groups)
    elif hasattr(wrapped, "averaged_gradients"):
        for group in wrapped.averaged_gradients.values():
            yield from group or []
    else:
        for parameter in parameters.values():
            kept = getattr(parameter, "_hp_grad", None)
            found = parameter.grad if kept is None else kept
            if found is not None:
                yield found


def gradient_part(parameter: Any) -> Tensor | None:
    """This worker's part of a parameter's reduced gradient, between backward and step.

    None where it holds no part, or at stage 0 where the gradient is zero.
    """
    if hasattr(parameter, "ds_id"):
        part: Tensor = parameter._z3_optimizer.get_local_fp32_grad_for_param(parameter)
        return part
    if not hasattr(parameter, "_hp_mapping"):
        gradient: Tensor | None = parameter.grad
        return gradient
    mapping = parameter._hp_mapping
    if mapping is None:
        return None
    held: Tensor = mapping.get_lp_grad_fragment(parameter._index_in_param_group).view(-1)
    address = mapping.lp_fragment_address
    # DeepSpeed's bf16 optimizer keeps whole gradients, of which the worker answers for a part.
    is_whole = held.numel() == parameter.numel()
    return held.narrow(0, address.start, address.numel) if is_whole else held


def is_sharded(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether a worker's fragments are only a part of the parameters."""
    return any(hasattr(p, "ds_id") or hasattr(p, "_hp_mapping") for p in parameters)


def module_copies(parameter: nn.Parameter, rank: int) -> Iterator[tuple[Tensor, int]]:
    """The module's own tensors of a parameter on this worker: (flat view, where it begins).

    At stage 3 that is the worker's part, and the whole as well while it is gathered.
    """
    if hasattr(parameter, "ds_id"):
        held = parameter.ds_tensor  # type: ignore[attr-defined]
        total = int(parameter.ds_numel)  # type: ignore[attr-defined]
        start = min(rank * held.numel(), total)
        yield held.data.view(-1)[: min(held.numel(), total - start)], start
        # One worker alone is given its own part as the whole: that is the same memory.
        is_same = parameter.data.data_ptr() == held.data_ptr()
        if parameter.data.numel() != total or is_same:
            return
    yield parameter.data.view(-1), 0


def regather(parameters: Iterable[nn.Parameter], world_size: int) -> None:
    """Bring what stage 3 keeps gathered between passes up to date with the workers' parts."""
    stale = [
        p
        for p in parameters
        if hasattr(p, "ds_id") and p.data.numel() == int(p.ds_numel)  # type: ignore[attr-defined]
    ]
    if not stale or world_size == 1:
        return
    parts = [p.ds_tensor.data.view(-1) for p in stale]  # type: ignore[attr-defined]
    mine = torch.cat(parts)
    everyone = mine.new_empty(world_size * mine.numel())
    dist.all_gather_into_tensor(everyone, mine)
    sizes = [part.numel() for part in parts]
    by_worker = torch.split(everyone.view(world_size, -1), sizes, dim=1)
    for parameter, columns in zip(stale, by_worker, strict=True):
        whole_one = columns.reshape(-1)[: parameter.data.numel()]
        parameter.data.copy_(whole_one.view(parameter.data.shape))


def refresh_module_copies(
    parameters: Parameters, read: Callable[[str, int, int], Tensor], rank: int
) -> None:
    """Write weights into the module's own (possibly half-precision) tensors.

    Args:
        parameters: those to write, by public name.
        read: (name, start, number of elements) -> the values, flat.
        rank: this worker.
    """
    for name, parameter in parameters.items():
        for copy, start in module_copies(parameter, rank):
            copy.copy_(read(name, start, copy.numel()))


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
