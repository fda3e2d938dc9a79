"""Whatever cut and spread the pieces, any other cut reads the same elements."""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.checkpoint import Checkpoint, CheckpointStore, CheckpointWriter, Piece
from trainwright.storage import Folder

DTYPES = [
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.int64,
    torch.bool,
    torch.uint8,
    torch.complex64,
]


def save(folder: Folder, ranks: list[list[Piece]]) -> Checkpoint:
    writers = [CheckpointWriter(folder, rank, len(ranks)) for rank in range(len(ranks))]
    for writer, pieces in zip(writers, ranks, strict=True):
        writer.save(1, 1, pieces, {}, None, {})
    for writer in writers:
        writer.wait()
    return CheckpointStore(folder).at(1)


def random_bits(dtype: torch.dtype, numel: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if dtype is torch.bool:
        return torch.rand(numel, generator=generator) < 0.5
    size = (numel * dtype.itemsize,)
    return torch.randint(0, 256, size, dtype=torch.uint8, generator=generator).view(dtype)


def same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(
        first.reshape(-1).view(torch.uint8), second.reshape(-1).view(torch.uint8)
    )


@st.composite
def spread_tensors(
    draw: st.DrawFn,
) -> tuple[dict[str, tuple[tuple[int, ...], torch.Tensor]], list[list[Piece]]]:
    world = draw(st.integers(1, 4))
    ranks: list[list[Piece]] = [[] for _ in range(world)]
    full: dict[str, tuple[tuple[int, ...], torch.Tensor]] = {}
    for number in range(draw(st.integers(1, 4))):
        shape = tuple(draw(st.lists(st.integers(0, 7), max_size=3)))
        dtype = draw(st.sampled_from(DTYPES))
        numel = math.prod(shape)
        flat = random_bits(dtype, numel, draw(st.integers(0, 99)))
        name = f"model.{number}.weight"
        full[name] = (shape, flat)
        cuts = sorted({0, numel, *draw(st.lists(st.integers(0, numel), max_size=5))})
        spans = list(itertools.pairwise(cuts)) or [(0, 0)]
        if draw(st.booleans()):  # somebody holds a part a second time
            low = draw(st.integers(0, numel))
            spans.append((low, draw(st.integers(low, numel))))
        taken: set[tuple[int, int]] = set()
        for start, stop in draw(st.permutations(spans)):
            rank = draw(st.integers(0, world - 1))
            if (rank, start) not in taken:
                ranks[rank].append(Piece("param", name, shape, start, flat[start:stop]))
                taken.add((rank, start))
            else:
                other = next((r for r in range(world) if (r, start) not in taken), None)
                if other is not None:
                    ranks[other].append(Piece("param", name, shape, start, flat[start:stop]))
                    taken.add((other, start))
    return full, ranks


def covers(full: dict[str, tuple[tuple[int, ...], torch.Tensor]], ranks: list[list[Piece]]) -> bool:
    for name, (_, flat) in full.items():
        held = torch.zeros(flat.numel(), dtype=torch.bool)
        for pieces in ranks:
            for piece in pieces:
                if piece.name == name:
                    held[piece.start : piece.start + piece.tensor.numel()] = True
        if not held.all():
            return False
    return True


@settings(max_examples=120, deadline=None)
@given(spread_tensors(), st.data())
def test_any_slice_of_any_partition(spread, data: st.DataObject) -> None:
    full, ranks = spread
    if not covers(full, ranks):
        return
    folder = Folder(f"memory://repartition-{uuid.uuid4().hex}")
    try:
        checkpoint = save(folder, ranks)
        assert set(checkpoint.names("param")) == set(full)
        for name, (shape, flat) in full.items():
            assert checkpoint.shape("param", name) == shape
            assert same_bits(checkpoint.full("param", name), flat)
            assert checkpoint.full("param", name).shape == shape
            start = data.draw(st.integers(0, flat.numel()))
            numel = data.draw(st.integers(0, flat.numel() - start))
            part = checkpoint.read("param", name, start, numel)
            assert same_bits(part, flat[start : start + numel])
    finally:
        folder.remove("")


SHAPES = {"a": (3, 5), "b": (7,), "c": (), "d": (4, 2, 3), "e": (1,)}


def full_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def whole_tensors(world: int) -> list[list[Piece]]:
    """Stage 0: whole tensors dealt out to the ranks."""
    ranks: list[list[Piece]] = [[] for _ in range(world)]
    for number, (name, tensor) in enumerate(full_tensors().items()):
        ranks[number % world].append(Piece("exp_avg", name, tensor.shape, 0, tensor))
    return ranks


def flat_buffer(world: int) -> list[list[Piece]]:
    """Stages 1 and 2: all tensors in one buffer that is cut into equal, padded parts."""
    tensors = full_tensors()
    total = sum(t.numel() for t in tensors.values())
    length = -(-total // world)
    ranks: list[list[Piece]] = []
    for rank in range(world):
        low, high = rank * length, min(total, (rank + 1) * length)
        pieces = []
        offset = 0
        for name, tensor in tensors.items():
            start = max(low, offset) - offset
            stop = min(high, offset + tensor.numel()) - offset
            if start < stop:
                flat = tensor.reshape(-1)[start:stop]
                pieces.append(Piece("exp_avg", name, tensor.shape, start, flat))
            offset += tensor.numel()
        ranks.append(pieces)
    return ranks


def each_cut(world: int) -> list[list[Piece]]:
    """Stage 3: every tensor cut into ceil(n / world) elements, padding left away."""
    ranks: list[list[Piece]] = []
    for rank in range(world):
        pieces = []
        for name, tensor in full_tensors().items():
            length = -(-tensor.numel() // world)
            start = min(tensor.numel(), rank * length)
            flat = tensor.reshape(-1)[start : start + length]
            pieces.append(Piece("exp_avg", name, tensor.shape, start, flat))
        ranks.append(pieces)
    return ranks


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("cut", [whole_tensors, flat_buffer, each_cut])
def test_every_stage_reads_what_any_stage_wrote(
    memory: Folder, cut: Callable[[int], list[list[Piece]]], world: int
) -> None:
    checkpoint = save(memory, cut(world))
    assert set(checkpoint.names("exp_avg")) == set(SHAPES)
    for other in (1, 2, 4):
        for layout in (whole_tensors, flat_buffer, each_cut):
            for piece in (p for pieces in layout(other) for p in pieces):
                part = checkpoint.read("exp_avg", piece.name, piece.start, piece.tensor.numel())
                assert same_bits(part, piece.tensor)
