from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainwright_strategies.dealing import dealt, shuffled, sizes_of


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=12).filter(lambda found: sum(found) > 1e-3),
    st.integers(0, 10_000),
)
def test_sizes_sum_to_the_whole_and_are_less_than_one_off(weights, total):
    shares = np.array(weights) / sum(weights)
    sizes = sizes_of(shares, total)
    assert sizes.sum() == total
    assert sizes.min() >= 0
    assert (np.abs(sizes - shares * total) < 1 + 1e-6).all()


def test_sizes_of_several_wholes():
    shares = np.array([[0.5, 0.5], [0.25, 0.75]])
    assert sizes_of(shares, np.array([4, 8])).tolist() == [[2, 2], [2, 6]]


def test_rows_are_dealt_by_class():
    labels = np.array([0, 1, 0, 1, 0, 2])
    owners = dealt(labels, np.array([[2, 1], [0, 2], [1, 0]]), key=3)
    for label, counts in enumerate([[2, 1], [0, 2], [1, 0]]):
        assert np.bincount(owners[labels == label], minlength=2).tolist() == counts
    others = {tuple(dealt(labels, np.array([[2, 1], [0, 2], [1, 0]]), key)) for key in range(40)}
    assert len(others) == 3  # any of three rows is the one that the second client gets


def test_an_order_of_its_own_for_each_key():
    rows = np.arange(100)
    assert sorted(shuffled(rows, 1)) == rows.tolist()
    assert shuffled(rows, 1).tolist() != shuffled(rows, 2).tolist()
    assert shuffled(rows[::-1].copy(), 1).tolist() == shuffled(rows, 1).tolist()
