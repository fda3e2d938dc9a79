"""Taking a snapshot of what one rank has to save, before training goes on changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from trainwright.checkpoint.manifest import CheckpointName
from trainwright.checkpoint.pieces import (
    Index,
    Piece,
    PieceRef,
    TensorEntry,
    piece_key,
)
from trainwright.checkpoint.shards import ShardTensor
from trainwright.checkpoint.state import JSON, State, pack_state
from trainwright.errors import CheckpointError


@dataclass(frozen=True)
class Snapshot:
    """All that one rank writes for one checkpoint; nothing in it changes until it is written.

    Attributes:
        name: the checkpoint.
        tensors: CPU copies of the pieces and of the tensors in the states.
        index: where the pieces will be.
        state: packed global state; an empty one on ranks other than 0.
        rank_state: packed state of this rank; None when it has none.
        info: packed plain values.
    """

    name: CheckpointName
    tensors: tuple[ShardTensor, ...]
    index: Index
    state: JSON
    rank_state: JSON
    info: JSON


class Stage:
    """CPU copies by key, kept from one checkpoint to the next.

    Copying into memory that is already there takes a third of the time of copying into new
    memory, and training waits for it. Copies of CUDA tensors are in page-locked memory.
    """

    def __init__(self) -> None:
        self._kept: dict[str, torch.Tensor] = {}
        self._fresh: dict[str, ShardTensor] = {}

    def begin(self) -> None:
        """Start a new snapshot; the copies of the one before are overwritten."""
        self._fresh = {}

    def copy(self, key: str, tensor: torch.Tensor) -> None:
        """Copy ``tensor`` under ``key``.

        Raises:
            CheckpointError: the snapshot has this key already.
        """
        if key in self._fresh:
            raise CheckpointError(f"{key!r} was given twice")
        flat = tensor.detach().reshape(-1)
        kept = self._kept.get(key)
        if kept is None or kept.shape != flat.shape or kept.dtype != flat.dtype:
            kept = torch.empty(flat.shape, dtype=flat.dtype, device="cpu", pin_memory=flat.is_cuda)
            self._kept[key] = kept
        kept.copy_(flat)
        self._fresh[key] = ShardTensor(key, tuple(tensor.shape), tensor.dtype, _giver(kept))

    def finish(self) -> tuple[ShardTensor, ...]:
        """The snapshot's tensors; copies that it does not use are let go."""
        self._kept = {key: kept for key, kept in self._kept.items() if key in self._fresh}
        return tuple(self._fresh.values())


def _giver(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
    return lambda: tensor


def copy_pieces(stage: Stage, pieces: Iterable[Piece], file: str) -> Index:
    """Copy every piece and index it under ``file``; ``pieces`` may be made one by one.

    Raises:
        CheckpointError: a piece given twice, or two that disagree about shape or dtype.
    """
    index: Index = {}
    for piece in pieces:
        numel = piece.tensor.numel()
        refs = (PieceRef(file, piece.start, numel),) if numel else ()
        entry = TensorEntry(tuple(piece.shape), piece.tensor.dtype, refs)
        names = index.setdefault(piece.kind, {})
        try:
            joined = names[piece.name].joined(entry) if piece.name in names else entry
        except ValueError as error:
            raise CheckpointError(f"{piece.kind} {piece.name!r}: {error}") from error
        names[piece.name] = joined
        if numel:
            stage.copy(piece_key(piece.kind, piece.name, piece.start), piece.tensor)
    return index


def copy_state(stage: Stage, label: str, state: State) -> JSON:
    """Pack ``state`` and copy its tensors under keys that begin with ``label``.

    Raises:
        CheckpointError: it holds what cannot be stored.
    """
    packed, tensors = pack_state(state, label)
    for key, tensor in tensors.items():
        stage.copy(f"{label}|{key}", tensor)
    return packed


def pack_info(info: Mapping[str, object]) -> JSON:
    """Pack the plain values about a checkpoint.

    Raises:
        CheckpointError: it holds a tensor, or a score of which nobody knows what is better.
    """
    packed, tensors = pack_state(dict(info), "info")
    if tensors:
        path = next(iter(tensors)).split(".", 1)[1]
        raise CheckpointError(f"info.{path}: tensors belong into the state, not into the info")
    score = info.get("score")
    if score is not None:
        if type(score) not in (int, float):
            raise CheckpointError(f"info.score: must be a number, not {score!r}")
        if type(info.get("higher_is_better")) is not bool:
            raise CheckpointError("info.higher_is_better: must be true or false beside a score")
    return packed
