"""Cuts that keep groups whole, on whatever groups."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.groups import (
    cut_at_bounds,
    group_bounds,
    group_order,
    group_shares,
    group_updates,
    num_group_updates,
)
from trainwright.data.order import split_updates

SIZES = st.lists(st.integers(1, 9), min_size=6, max_size=60)


def _groups(sizes: list[int]) -> Any:
    """Ids that are neither ascending nor contiguous, rows shuffled."""
    ids = [(7 * index) % 101 - 50 for index in range(len(sizes))]
    rows = np.repeat(np.array(ids), sizes)
    return np.random.default_rng(0).permutation(rows)


@given(SIZES, st.integers(0, 3), st.booleans())
def test_an_order_holds_every_row_once_and_groups_together(
    sizes: list[int], epoch: int, shuffle: bool
) -> None:
    groups = _groups(sizes)
    order = group_order(groups, 3, epoch, shuffle)
    assert sorted(order.tolist()) == list(range(len(groups)))
    bounds = group_bounds(groups[order])
    assert len(bounds) == len(sizes) + 1
    for start, stop in pairwise(bounds):
        assert order[start:stop].tolist() == sorted(order[start:stop].tolist())
    if not shuffle:
        first = [int(order[start]) for start in bounds[:-1]]
        assert first == sorted(first)


def test_epochs_shuffle_groups() -> None:
    groups = _groups([2] * 30)
    orders = {tuple(group_order(groups, 3, epoch).tolist()) for epoch in range(4)}
    assert len(orders) == 4
    assert group_order(groups, 3, 1).tolist() == group_order(groups, 3, 1).tolist()
    assert group_order(groups, 4, 1).tolist() != group_order(groups, 3, 1).tolist()


@settings(deadline=None)
@given(SIZES, st.integers(8, 30), st.integers(1, 4), st.none() | st.integers(9, 20))
def test_no_group_is_ever_cut(sizes: list[int], batch: int, world: int, micro: int | None) -> None:
    groups = _groups(sizes)
    order = group_order(groups, 0, 0)
    bounds = group_bounds(groups[order])
    nominal = split_updates(len(groups), batch, world)
    number = num_group_updates(len(sizes), len(nominal), world)
    nominal = [(0, batch * (k + 1)) for k in range(number)]
    updates = group_updates(bounds, nominal, world)
    assert len(updates) == number
    at = 0
    for update in updates:
        assert update[0] == at
        shares = group_shares(bounds, update, world, micro)
        assert len({len(share) for share in shares}) == 1
        for start, stop in (part for share in shares for part in share):
            assert start == at < stop
            assert {start, stop} <= set(bounds.tolist())
            if micro is not None and stop - start > micro:
                fewest = min(int(((bounds >= s[0][0]) & (bounds < s[-1][1])).sum()) for s in shares)
                assert len(shares[0]) == fewest, "too large although there are groups to part"
            at = stop
    assert at == len(groups)


def test_cuts_are_the_nearest_ones_and_those_of_any_number_of_workers() -> None:
    bounds = np.array([0, 4, 9, 11, 16, 20, 26, 30, 33, 40])
    assert cut_at_bounds(bounds, [10, 20, 30]) == [(0, 9), (9, 20), (20, 30), (30, 40)]
    assert cut_at_bounds(bounds, [1, 2]) == [(0, 4), (4, 9), (9, 40)]
    nominal = split_updates(40, 20, 1)
    for world in (1, 2, 4):
        assert group_updates(bounds, nominal, world) == [(0, 20), (20, 40)]
    assert group_shares(bounds, (0, 20), 2, None) == [[(0, 9)], [(9, 20)]]
    assert group_shares(bounds, (0, 20), 2, 6) == [[(0, 4), (4, 9)], [(9, 16), (16, 20)]]


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be shared by 3 workers"):
        num_group_updates(2, 5, 3)
    with pytest.raises(ValueError, match="keep its rows together"):
        group_bounds(np.array([1, 1, 2, 1]))
    with pytest.raises(ValueError, match="2 groups cannot be cut into 3 parts of 1"):
        cut_at_bounds(np.array([0, 2, 4]), [1, 2])
    assert num_group_updates(7, 5, 3) == 2
