"""Chunks of clients that are joined: nothing is lost, nothing moves, and large ones stay apart."""

from __future__ import annotations

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated.clients.trainer import Chunk, Member
from trainwright.federated.transport.gathering import gathered

SIZE = 5


def chunk_of(first: int, number: int) -> Chunk:
    ids = range(first, first + number)
    members = [Member(i, torch.arange(i), {}) for i in ids]
    weights = torch.tensor([[float(i)] * SIZE for i in ids])
    losses = torch.tensor([float(-i) for i in ids])
    counters = {"seen": torch.tensor((7 * first) % 5)}
    return Chunk(members, weights, weights[:, :2], losses, [i + 1 for i in ids], counters)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=9), st.integers(0, 60))
def test_all_clients_in_their_order(numbers: list[int], most: int) -> None:
    firsts = [sum(numbers[:place]) for place in range(len(numbers))]
    chunks = [chunk_of(first, number) for first, number in zip(firsts, numbers, strict=True)]
    found = list(gathered(chunks, most))
    ids = list(range(sum(numbers)))
    assert [m.id for chunk in found for m in chunk.members] == ids
    assert torch.cat([chunk.weights for chunk in found])[:, 0].tolist() == ids
    assert torch.cat([chunk.buffers for chunk in found])[:, 1].tolist() == ids
    assert torch.cat([chunk.losses for chunk in found]).neg().tolist() == ids
    assert [steps - 1 for chunk in found for steps in chunk.steps] == ids
    assert all(len(c.members) == len(c.weights) == len(c.steps) for c in found)
    assert max(int(c.counters["seen"]) for c in found) == max((7 * f) % 5 for f in firsts)
    for chunk in found:
        assert chunk.weights.numel() <= most or any(chunk is one for one in chunks)
    sizes = dict(zip(firsts, numbers, strict=True))
    for one, other in pairwise(found):
        assert one.weights.numel() + SIZE * sizes[other.members[0].id] > most, "could be joined"


def test_nothing_in_nothing_out() -> None:
    assert list(gathered([])) == []
