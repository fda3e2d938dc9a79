"""Putting a range of a tensor together from pieces that were cut anywhere."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trainwright.checkpoint.pieces import PieceRef, TensorEntry
from trainwright.errors import CheckpointError

Load = Callable[[PieceRef, int, int], torch.Tensor]
"""(piece, start, stop) -> a fresh flat tensor of the elements that the piece holds there."""


def assemble(entry: TensorEntry, start: int, stop: int, load: Load) -> torch.Tensor:
    """The elements ``[start, stop)`` of the flat tensor as a fresh (stop - start,) tensor.

    Where pieces overlap, all of them are loaded and must agree bit for bit.

    Raises:
        CheckpointError: the range is outside the tensor, elements are in no piece, or two pieces
            disagree.
    """
    if not 0 <= start <= stop <= entry.numel:
        raise CheckpointError(f"has {entry.numel} elements, none from {start} to {stop}")
    held = [(p, max(start, p.start), min(stop, p.stop)) for p in entry.pieces]
    held = [(piece, low, high) for piece, low, high in held if low < high]
    if len(held) == 1 and held[0][1:] == (start, stop):
        return load(*held[0])
    result = torch.empty(stop - start, dtype=entry.dtype, device="cpu")
    filled = start
    for piece, low, high in held:
        if low > filled:
            raise CheckpointError(f"elements {filled} to {low} are in no piece")
        data = load(piece, low, high)
        seen = min(filled, high) - low
        if not _same_bits(data[:seen], result[low - start : low - start + seen]):
            raise CheckpointError(f"two pieces disagree about elements {low} to {low + seen}")
        result[low + seen - start : high - start] = data[seen:]
        filled = max(filled, high)
    if filled < stop:
        raise CheckpointError(f"elements {filled} to {stop} are in no piece")
    return result


def _same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    return torch.equal(first.contiguous().view(torch.uint8), second.contiguous().view(torch.uint8))
