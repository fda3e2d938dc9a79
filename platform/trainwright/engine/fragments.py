"""Where a worker keeps its part of each parameter and of the optimizer's state.

Every engine and ZeRO stage lays out weights differently; a list of fragments is the one view of
all of them, from which checkpoints are written and into which they are read. Tensors are flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from trainwright.checkpoint import Checkpoint, Piece
from trainwright.errors import CheckpointError

PARAMETER = "param"


@dataclass(frozen=True)
class Fragment:
    """A contiguous slice of one parameter as this worker's optimizer holds it.

    Attributes:
        name: the parameter's public name.
        shape: the whole parameter's shape.
        start: where the slice begins in the flattened parameter.
        master: the slice itself, in the precision the optimizer works in (a view).
        owner: the tensor under which the optimizer keeps its state.
        offset: where the slice begins inside ``owner``.
    """

    name: str
    shape: tuple[int, ...]
    start: int
    master: Tensor
    owner: Tensor
    offset: int


def whole(name: str, parameter: nn.Parameter, master: Tensor, owner: Any = None) -> Fragment:
    """A parameter that this worker holds undivided."""
    shape = tuple(parameter.shape)
    return Fragment(name, shape, 0, master.view(-1), parameter if owner is None else owner, 0)


def pieces_of(
    fragments: Iterable[Fragment], optimizer: torch.optim.Optimizer | None
) -> Iterator[Piece]:
    """The fragments with their optimizer state, as a checkpoint takes them.

    State that has one value per parameter rather than one per element (Adam's step count) is
    written by whoever holds the parameter's first element.
    """
    for part in fragments:
        yield Piece(PARAMETER, part.name, part.shape, part.start, part.master)
        state = {} if optimizer is None else optimizer.state.get(part.owner, {})
        for kind, value in state.items():
            if _is_elementwise(value, part.owner):
                flat = value.detach().reshape(-1).narrow(0, part.offset, part.master.numel())
                yield Piece(kind, part.name, part.shape, part.start, flat)
            elif value is not None and part.start == 0:
                yield Piece(kind, part.name, (), 0, torch.as_tensor(value).reshape(-1))


def _is_elementwise(value: Any, owner: Tensor) -> bool:
    return isinstance(value, Tensor) and value.dim() > 0 and value.numel() == owner.numel()


def load_fragments(
    fragments: Iterable[Fragment], optimizer: torch.optim.Optimizer | None, checkpoint: Checkpoint
) -> None:
    """Fill weights and optimizer state from a checkpoint written by any stage and world size.

    Raises:
        CheckpointError: a parameter is missing or has another shape; all of them are named.
    """
    parts = list(fragments)
    _check_fit(parts, checkpoint)
    kinds = [kind for kind in checkpoint.kinds() if kind not in (PARAMETER, "buffer")]
    known = {kind: set(checkpoint.names(kind)) for kind in kinds}
    for part in parts:
        numel = part.master.numel()
        values = checkpoint.read(PARAMETER, part.name, part.start, numel)
        part.master.copy_(values)
        for kind in kinds:
            if optimizer is not None and part.name in known[kind]:
                _load_state(part, kind, optimizer, checkpoint)


def _load_state(
    part: Fragment, kind: str, optimizer: torch.optim.Optimizer, checkpoint: Checkpoint
) -> None:
    state = optimizer.state[part.owner]
    if checkpoint.shape(kind, part.name) == () and part.shape != ():
        value = checkpoint.full(kind, part.name).reshape(())
        is_number = value.dtype in (torch.int64, torch.float64)
        state[kind] = value.item() if is_number else value.clone()
        return
    if kind not in state:
        state[kind] = torch.zeros_like(part.owner, memory_format=torch.preserve_format)
    target = state[kind].reshape(-1).narrow(0, part.offset, part.master.numel())
    target.copy_(checkpoint.read(kind, part.name, part.start, part.master.numel()))


def _check_fit(parts: list[Fragment], checkpoint: Checkpoint) -> None:
    saved = set(checkpoint.names(PARAMETER))
    wrong = [
        f"{part.name}: not in the checkpoint"
        if part.name not in saved
        else f"{part.name}: shape {list(part.shape)} here, "
        f"{list(checkpoint.shape(PARAMETER, part.name))} in the checkpoint"
        for part in parts
        if part.name not in saved or tuple(checkpoint.shape(PARAMETER, part.name)) != part.shape
    ]
    if wrong:
        raise CheckpointError(
            "the checkpoint does not fit the model:\n    " + "\n    ".join(sorted(wrong))
        )
