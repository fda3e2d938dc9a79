"""The order of a streamed table, against a slow one made by the book."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.random import bits, key
from trainwright.data.streaming.order import StreamOrder

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=12)
SHARDS = st.sampled_from([1, 2, 3, 4, 6, 12, 48])


def hashed(name: str, seed: int, epoch: int, number: int) -> int:
    return int(bits(key(seed, name, epoch), torch.tensor([number]))[0])


def slow_order(sizes: list[int], shards: int, depth: int, seed: int, epoch: int) -> list[int]:
    """All rows of an epoch, one by one."""
    starts = np.cumsum([0, *sizes])
    groups = sorted(range(len(sizes)), key=lambda g: hashed("groups", seed, epoch, g))
    line = [row for g in groups for row in range(starts[g], starts[g + 1])]
    turn = key(seed, "turn", epoch) % len(line)
    line = line[turn:] + line[:turn]
    pieces: list[list[int]] = []
    for shard in range(shards):
        size = -(-(len(line) - sum(map(len, pieces))) // (shards - shard))
        begin = sum(map(len, pieces))
        piece = line[begin : begin + size]
        windows = [piece[at : at + depth] for at in range(0, len(piece), depth)]
        pieces.append(
            [r for w in windows for r in sorted(w, key=lambda r: hashed("window", seed, epoch, r))]
        )
    turns = range(max(map(len, pieces)))
    return [piece[turn] for turn in turns for piece in pieces if turn < len(piece)]


@settings(max_examples=40, deadline=None)
@given(SIZES, SHARDS, st.integers(1, 9), st.integers(0, 3), st.integers(0, 2))
def test_positions_hold_what_the_book_says(
    sizes: list[int], shards: int, depth: int, seed: int, epoch: int
) -> None:
    order = StreamOrder(tuple(sizes), shards, depth, seed)
    expected = slow_order(sizes, shards, depth, seed, epoch)
    assert order.rows(epoch, 0, sum(sizes)).tolist() == expected
    assert sorted(expected) == list(range(sum(sizes)))


@settings(max_examples=60, deadline=None)
@given(SIZES, SHARDS, st.integers(1, 9), st.booleans(), st.data())
def test_workers_take_their_positions_and_any_stretch_can_be_asked_for(
    sizes: list[int], shards: int, depth: int, shuffle: bool, data: Any
) -> None:
    order = StreamOrder(tuple(sizes), shards, depth, 5, shuffle)
    rows = order.rows(1, 0, sum(sizes))
    if not shuffle:
        assert rows.tolist() == list(range(sum(sizes)))
    world = data.draw(st.sampled_from([w for w in range(1, shards + 1) if shards % w == 0]))
    rank = data.draw(st.integers(0, world - 1))
    starts = np.cumsum([0, *sizes])
    taken: list[int] = []
    for number in range(order.num_windows):
        window = order.window(1, number, rank, world)
        read = [starts[r.group] + row for r in window.runs for row in range(r.start, r.stop)]
        taken += np.asarray(read, dtype=int)[window.order].tolist()
    assert taken == rows[rank::world].tolist()
    low = data.draw(st.integers(0, sum(sizes)))
    high = data.draw(st.integers(low, sum(sizes)))
    assert order.rows(1, low, high).tolist() == rows[low:high].tolist()


def test_rows_come_from_all_over_the_table_and_move_from_epoch_to_epoch() -> None:
    order = StreamOrder((1000,) * 48, 48, 100, 0)
    first = order.rows(0, 0, 4800)
    assert len(set((first[:48] // 1000).tolist())) > 40, "one row of each shard in turn"
    correlation = np.corrcoef(first, np.arange(4800))[0, 1]
    assert abs(correlation) < 0.05
    other = order.rows(1, 0, 4800)
    assert len(set(first.tolist()) & set(other.tolist())) < 4800 * 0.6, "windows differ"
    assert StreamOrder((1000,) * 48, 48, 100, 1).rows(0, 0, 4800).tolist() != first.tolist()


@pytest.mark.parametrize("shards", [4, 12])
def test_a_shard_reads_its_groups_from_their_beginning_to_their_end(shards: int) -> None:
    """What makes it possible to read with little memory: no way back, but where the ring closes."""
    order = StreamOrder((30,) * 40, shards, 7, 3)
    begun: list[int] = []
    for shard in range(shards):
        seen: list[int] = []
        for number in range(order.num_windows):
            for run in order.window(0, number, shard, shards).runs:
                if seen and run.group == seen[-1] // 1000 and run.start:
                    assert run.start == seen[-1] % 1000
                else:
                    begun.append(run.group)
                seen.append(run.group * 1000 + run.stop)
    assert len(begun) <= 40 + shards + 1
