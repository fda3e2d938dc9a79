"""Bins on processes."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated.processes.pool import placed

COSTS = st.lists(st.integers(0, 20).map(float), max_size=20)


@given(COSTS, st.integers(1, 5))
def test_each_bin_has_one_place_and_none_waits_long(costs, places) -> None:
    shares = placed(costs, places)
    assert sorted(index for share in shares for index in share) == list(range(len(costs)))
    assert len(shares) <= places
    assert all(share and share == sorted(share) for share in shares)
    if costs:
        longest = max(sum(costs[index] for index in share) for share in shares)
        # No schedule is shorter than the mean load, or than the longest bin.
        least = max(sum(costs) / places, *costs, 0.0)
        assert longest <= 2 * least


@given(st.lists(st.integers(1, 9).map(float), min_size=1, max_size=6), st.integers(1, 3))
def test_at_most_a_third_longer_than_the_best(costs, places) -> None:
    shares = placed(costs, places)
    longest = max(sum(costs[index] for index in share) for share in shares)
    best = min(
        max(
            sum(c for c, p in zip(costs, choice, strict=True) if p == place)
            for place in range(places)
        )
        for choice in product(range(places), repeat=len(costs))
    )
    assert longest <= (4 / 3 - 1 / (3 * places)) * best + 1e-9
