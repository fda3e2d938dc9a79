"""Ranges against a plain set of positions."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from trainwright.tracking.covered import Ranges


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=12))
def test_ranges_are_a_set_of_positions(spans: list[tuple[int, int]]) -> None:
    ranges, positions = Ranges(), set[int]()
    for start, length in spans:
        ranges.add(start, start + length)
        positions |= set(range(start, start + length))
    assert {p for p in range(100) if p in ranges} == positions
    lists = ranges.to_lists()
    assert all(left[1] < right[0] for left, right in itertools.pairwise(lists))
    assert Ranges(lists).to_lists() == lists
    for position in range(100):
        stop = position
        while stop in positions:
            stop += 1
        assert ranges.stop_at(position) == stop
    assert bool(ranges) == bool(positions)
