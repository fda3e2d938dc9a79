from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.order import (
    epoch_order,
    micro_batches,
    num_micro_batches,
    share,
    split_updates,
)

WORLDS = st.integers(1, 9)
SAMPLES = st.integers(1, 400)
MICRO = st.none() | st.integers(1, 50)


@given(n=SAMPLES, batch=st.integers(1, 120), world=WORLDS, micro=MICRO)
def test_every_sample_is_computed_once_by_one_worker(
    n: int, batch: int, world: int, micro: int | None
) -> None:
    if n < world or batch < world:
        with pytest.raises(ValueError, match="workers"):
            split_updates(n, batch, world)
        return
    seen = []
    for start, stop in split_updates(n, batch, world):
        num = num_micro_batches(stop - start, world, micro)
        sizes = []
        for rank in range(world):
            low, high = share(start, stop, rank, world)
            sizes.append(high - low)
            cuts = micro_batches(low, high, num)
            assert len(cuts) == num
            assert all(b > a for a, b in cuts)
            assert max(b - a for a, b in cuts) - min(b - a for a, b in cuts) <= 1
            seen += [i for a, b in cuts for i in range(a, b)]
            if micro is not None:
                allowed = micro + (micro == 1 and (stop - start) % world != 0)
                assert max(b - a for a, b in cuts) <= allowed
        assert max(sizes) - min(sizes) <= 1
    assert seen == list(range(n))


@given(n=SAMPLES, batch=st.integers(32, 200))
def test_updates_do_not_depend_on_up_to_eight_workers(n: int, batch: int) -> None:
    cuts = [split_updates(n, batch, world) for world in range(1, 9) if n >= world]
    assert all(cut == cuts[0] for cut in cuts)


@given(n=SAMPLES, batch=st.integers(1, 120), world=st.integers(1, 8))
def test_updates_have_the_batch_size_except_for_the_last(n: int, batch: int, world: int) -> None:
    if n < world or batch < world:
        return
    sizes = [stop - start for start, stop in split_updates(n, batch, world)]
    assert all(size == batch for size in sizes[:-1])
    shortest = max(world, min(8, batch // 4))
    assert sizes[-1] < batch + shortest
    assert sizes[-1] >= min(shortest, n)


@pytest.mark.parametrize(
    ("n", "batch", "world", "cuts"),
    [
        (100, 50, 4, [(0, 50), (50, 100)]),
        (107, 50, 1, [(0, 50), (50, 107)]),
        (108, 50, 1, [(0, 50), (50, 100), (100, 108)]),
        (3, 50, 3, [(0, 3)]),
        (9, 4, 1, [(0, 4), (4, 8), (8, 9)]),
        (9, 4, 2, [(0, 4), (4, 9)]),
    ],
)
def test_a_short_tail_joins_the_update_before(
    n: int, batch: int, world: int, cuts: list[tuple[int, int]]
) -> None:
    assert split_updates(n, batch, world) == cuts


@pytest.mark.parametrize(
    ("update", "world", "micro", "expected"),
    [(64, 2, None, 1), (64, 2, 8, 4), (65, 2, 8, 5), (9, 8, 1, 1), (17, 8, 1, 2), (16, 8, 1, 2)],
)
def test_number_of_micro_batches(update: int, world: int, micro: int | None, expected: int) -> None:
    assert num_micro_batches(update, world, micro) == expected


def test_impossible_cuts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 training samples cannot be shared by 4 workers"):
        split_updates(3, 32, 4)
    with pytest.raises(ValueError, match="batch_size of at least 4"):
        split_updates(100, 3, 4)
    with pytest.raises(ValueError, match="idle"):
        num_micro_batches(3, 4, None)
    with pytest.raises(ValueError, match="cannot be cut"):
        micro_batches(0, 2, 3)


@given(n=st.integers(1, 300), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
def test_an_epoch_is_a_permutation_and_a_pure_function(n: int, seed: int, epoch: int) -> None:
    order = epoch_order(n, seed, epoch)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n))
    assert np.array_equal(order, epoch_order(n, seed, epoch))


def test_epochs_and_seeds_differ_and_are_not_the_identity() -> None:
    orders = [tuple(epoch_order(100, seed, epoch)) for seed in range(5) for epoch in range(5)]
    assert len(set(orders)) == 25
    assert tuple(range(100)) not in orders


def test_the_order_never_changes_between_versions() -> None:
    assert epoch_order(10, 0, 0).tolist() == [7, 9, 4, 8, 2, 6, 3, 0, 1, 5]


def test_without_shuffling_the_table_order_stays() -> None:
    assert epoch_order(5, 3, 7, shuffle=False).tolist() == [0, 1, 2, 3, 4]


def test_positions_are_uniform() -> None:
    first = np.array([epoch_order(8, seed, 0)[0] for seed in range(4000)])
    counts = np.bincount(first, minlength=8)
    assert ((counts - 500) ** 2 / 500).sum() < 30  # chi-square, 7 degrees: p < 1e-4
