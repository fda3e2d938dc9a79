"""Reading and changing weights between updates, on every engine and ZeRO stage.

An engine may keep a weight twice: the module's copy, which passes use, and the optimizer's, which
the next update writes over it. :func:`edit` changes both, :func:`shift` the first alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from trainwright.engine.fragments import Fragment
from trainwright.engine.zero_layout import module_copies, refresh_module_copies, regather

if TYPE_CHECKING:
    from trainwright.engine.base import Engine

Saved = list[tuple[Tensor, Tensor]]


def whole_weights(engine: Engine, names: Sequence[str] | None) -> dict[str, Tensor]:
    """The optimizer's float32 weights, put together from all workers in one exchange."""
    wanted = engine.all_parameters if names is None else names
    return _whole(engine, wanted, lambda part: part.master)


def whole_moments(engine: Engine, kind: str, names: Sequence[str] | None) -> dict[str, Tensor]:
    """See :meth:`trainwright.engine.base.Engine.moments`."""

    def held(part: Fragment) -> Tensor:
        found = _moment(engine.optimizer, part, kind)
        return torch.zeros_like(part.master) if found is None else found

    return _whole(engine, engine.trainable() if names is None else names, held)


@torch.no_grad()
def _whole(
    engine: Engine, names: Iterable[str], held: Callable[[Fragment], Tensor]
) -> dict[str, Tensor]:
    shapes = {name: engine.shape_of(name) for name in names}
    sizes = [math.prod(shape) for shape in shapes.values()]
    flat = torch.zeros(sum(sizes), dtype=torch.float32, device=engine.settings.device)
    whole = dict(zip(shapes, torch.split(flat, sizes), strict=True))
    parts = _parts(engine, whole)
    shared = engine.sharded and engine.settings.world_size > 1
    for part, is_shared in parts:
        # What every worker holds whole is added once.
        if not shared or is_shared or engine.settings.rank == 0:
            whole[part.name].narrow(0, part.start, part.master.numel()).copy_(held(part))
    if shared:
        dist.all_reduce(flat)
    return {name: whole[name].view(shape) for name, shape in shapes.items()}


def _parts(engine: Engine, wanted: Iterable[str]) -> list[tuple[Fragment, bool]]:
    """This worker's fragments of the wanted parameters, and whether the others hold the rest."""
    names = set(wanted)
    trained = [(part, engine.sharded) for part in engine.fragments()]
    frozen = [(part, _is_cut(engine, part.name)) for part in engine.frozen_fragments()]
    return [(part, cut) for part, cut in (*trained, *frozen) if part.name in names]


def _is_cut(engine: Engine, name: str) -> bool:
    return hasattr(engine.all_parameters[name], "ds_id")


def edit(
    engine: Engine,
    values: Mapping[str, Tensor],
    moments: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """See :meth:`trainwright.engine.base.Engine.edit`."""
    known = engine.all_parameters
    names = {name for named in (values, *moments.values()) for name in named}
    if unknown := sorted(names - set(known)):
        raise KeyError(f"no parameter {', '.join(unknown)}; there are {', '.join(known)}")
    flat = {name: value.detach().reshape(-1) for name, value in values.items()}
    with torch.no_grad():
        for part, _ in _parts(engine, names):
            if part.name in flat:
                part.master.copy_(_slice(flat[part.name], part))
            _edit_moments(engine.optimizer, part, moments)
        refresh_module_copies(
            {name: known[name] for name in values},
            lambda name, start, numel: flat[name].narrow(0, start, numel),
            engine.settings.rank,
        )


def _edit_moments(
    optimizer: torch.optim.Optimizer, part: Fragment, moments: Mapping[str, Mapping[str, Tensor]]
) -> None:
    for kind, values in moments.items():
        held = _moment(optimizer, part, kind) if part.name in values else None
        if held is not None:
            held.copy_(_slice(values[part.name].detach().reshape(-1), part))


def _moment(optimizer: torch.optim.Optimizer, part: Fragment, kind: str) -> Tensor | None:
    """The fragment's part of a kind of optimizer state; None where there is none."""
    state = optimizer.state.get(part.owner, {})
    if kind not in state:
        return None
    held: Tensor = state[kind].view(-1).narrow(0, part.offset, part.master.numel())
    return held


def _slice(flat: Tensor, part: Fragment) -> Tensor:
    return flat.narrow(0, part.start, part.master.numel())


def shift(engine: Engine, direction: Mapping[str, Tensor], scale: float) -> Saved:
    """See :meth:`trainwright.engine.base.Engine.shift`."""
    saved: Saved = []
    with torch.no_grad():
        for name, values in direction.items():
            flat = values.detach().reshape(-1)
            for copy, start in module_copies(engine.all_parameters[name], engine.settings.rank):
                saved.append((copy, copy.clone()))
                copy.add_(flat.narrow(0, start, copy.numel()).to(copy.dtype), alpha=scale)
    return saved


def unshift(engine: Engine, saved: Saved) -> None:
    """See :meth:`trainwright.engine.base.Engine.unshift`."""
    with torch.no_grad():
        for tensor, original in saved:
            tensor.copy_(original)
        # A pass in between may have gathered shifted weights into memory of its own.
        regather(engine.parameters().values(), engine.settings.world_size)
