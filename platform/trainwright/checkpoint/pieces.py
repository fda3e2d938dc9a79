"""Flat slices of named tensors, and the index that says which file holds which slice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from trainwright.checkpoint.dtypes import dtype_from_name, dtype_name, refusal
from trainwright.checkpoint.state import JSON
from trainwright.errors import CheckpointError

RESERVED_KINDS = ("state", "rank_state")
"""Kinds under which a shard keeps the tensors of the packed state."""

_MAX_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Piece:
    """A contiguous slice of one full tensor, laid out flat (row-major).

    Attributes:
        kind: what the tensor is: ``param``, ``buffer``, ``exp_avg``...; without ``|``.
        name: the full tensor's name, for example ``model.fc.weight``.
        shape: the full tensor's shape; ``()`` for a scalar.
        start: index of the slice's first element in the flat full tensor.
        tensor: the elements ``[start : start + numel]``; any shape, on any device. May be empty.

    Raises:
        CheckpointError: the slice does not lie inside the full tensor, or it cannot be stored.
    """

    kind: str
    name: str
    shape: tuple[int, ...]
    start: int
    tensor: torch.Tensor

    def __post_init__(self) -> None:
        what = f"piece {self.kind} {self.name!r}"
        if not self.kind or "|" in self.kind or self.kind in RESERVED_KINDS:
            raise CheckpointError(f"{what}: the kind must be a word without '|', not reserved")
        if (reason := refusal(self.tensor)) is not None:
            raise CheckpointError(f"{what}: {reason}")
        total = math.prod(self.shape)
        if self.start < 0 or self.start + self.tensor.numel() > total:
            raise CheckpointError(
                f"{what}: elements {self.start} to {self.start + self.tensor.numel()} lie outside"
                f" a tensor of shape {tuple(self.shape)} with {total} elements"
            )


def piece_key(kind: str, name: str, start: int) -> str:
    """The name of a piece inside its shard, for example ``param|model.fc.weight|128``."""
    return f"{kind}|{name}|{start}"


@dataclass(frozen=True)
class PieceRef:
    """Where a piece is: ``numel`` elements from ``start`` of the full tensor, in shard ``file``."""

    file: str
    start: int
    numel: int

    @property
    def stop(self) -> int:
        """Index after the last element, in the flat full tensor."""
        return self.start + self.numel


@dataclass(frozen=True)
class TensorEntry:
    """A full tensor and the pieces it is kept in, in order of ``start``."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    pieces: tuple[PieceRef, ...] = ()

    @property
    def numel(self) -> int:
        """Number of elements of the full tensor."""
        return math.prod(self.shape)

    def joined(self, *others: TensorEntry) -> TensorEntry:
        """This entry with the pieces of ``others`` too.

        Raises:
            ValueError: one of them disagrees about shape or dtype.
        """
        for other in others:
            if (self.shape, self.dtype) != (other.shape, other.dtype):
                ours, theirs = (f"{dtype_name(e.dtype)} {list(e.shape)}" for e in (self, other))
                raise ValueError(f"written as {ours} and as {theirs}")
        every = {piece for entry in (self, *others) for piece in entry.pieces}
        pieces = sorted(every, key=lambda p: (p.start, p.numel, p.file))
        return TensorEntry(self.shape, self.dtype, tuple(pieces))

    def gaps(self) -> Iterator[tuple[int, int]]:
        """The ranges (start, stop) of elements that no piece holds."""
        filled = 0
        for piece in self.pieces:
            if piece.start > filled:
                yield filled, piece.start
            filled = max(filled, piece.stop)
        if filled < self.numel:
            yield filled, self.numel


Index: TypeAlias = "dict[str, dict[str, TensorEntry]]"
"""kind -> name -> where the tensor is."""


def merge(indexes: Iterable[Index]) -> Index:
    """The index over all shards.

    Raises:
        CheckpointError: two shards disagree about a tensor's shape or dtype, or elements of a
            tensor are in no shard.
    """
    parts: dict[tuple[str, str], list[TensorEntry]] = {}
    for index in indexes:
        for kind, name, entry in walk(index):
            parts.setdefault((kind, name), []).append(entry)
    merged: Index = {}
    problems: list[str] = []
    # All at once: at ZeRO 3 every worker has a piece of every tensor.
    for (kind, name), (first, *others) in parts.items():
        try:
            merged.setdefault(kind, {})[name] = first.joined(*others)
        except ValueError as error:
            problems.append(f"{kind} {name!r}: {error}")
    for kind, name, entry in walk(merged):
        problems += [
            f"{kind} {name!r}: elements {start} to {stop} of {entry.numel} are in no shard"
            for start, stop in entry.gaps()
        ]
    if problems:
        more = len(problems) - _MAX_SHOWN
        tail = f"; and {more} more" if more > 0 else ""
        raise CheckpointError("; ".join(problems[:_MAX_SHOWN]) + tail)
    return merged


def walk(index: Index) -> Iterator[tuple[str, str, TensorEntry]]:
    """All entries as (kind, name, entry)."""
    for kind, names in index.items():
        for name, entry in names.items():
            yield kind, name, entry


def index_to_json(index: Index) -> JSON:
    """The index as JSON: ``{kind: {name: {shape, dtype, pieces: [[file, start, numel]]}}}``."""
    return {
        kind: {
            name: {
                "shape": list(entry.shape),
                "dtype": dtype_name(entry.dtype),
                "pieces": [[p.file, p.start, p.numel] for p in entry.pieces],
            }
            for name, entry in names.items()
        }
        for kind, names in index.items()
    }


def index_from_json(value: Any) -> Index:
    """The index written by :func:`index_to_json`.

    Raises:
        ValueError, TypeError, KeyError: the value is not of that form.
    """
    return {
        kind: {name: _entry_from_json(entry) for name, entry in names.items()}
        for kind, names in value.items()
    }


def _entry_from_json(value: Any) -> TensorEntry:
    pieces = tuple(PieceRef(file, start, numel) for file, start, numel in value["pieces"])
    entry = TensorEntry(tuple(value["shape"]), dtype_from_name(value["dtype"]), pieces)
    if not all(whole(size) for size in entry.shape):
        raise ValueError(f"{value['shape']!r} is no shape")
    if not all(_lies_in(entry, piece) for piece in pieces):
        raise ValueError(f"pieces lie outside of a tensor of shape {value['shape']!r}")
    return entry


def _lies_in(entry: TensorEntry, piece: PieceRef) -> bool:
    sound = isinstance(piece.file, str) and whole(piece.start) and whole(piece.numel)
    return sound and piece.stop <= entry.numel


def whole(number: Any) -> bool:
    """Whether ``number`` is an integer and not negative."""
    return type(number) is int and number >= 0
