from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.data.heldout import held_out, quotas, rounded


@given(
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    share=st.floats(0.01, 0.99),
)
def test_quotas_are_exact_proportional_and_leave_one(counts: list[int], share: float) -> None:
    numbers = np.array(counts)
    size = max(1, int(numbers.sum() * share))
    if size > (numbers - 1).sum():
        with pytest.raises(ValueError, match="last sample"):
            quotas(numbers, size)
        return
    quota = quotas(numbers, size)
    assert quota.sum() == size
    assert (quota >= 0).all()
    assert (quota <= numbers - 1).all()
    exact = numbers * size / numbers.sum()
    if (np.ceil(exact) <= numbers - 1).all():
        assert (np.abs(quota - exact) < 1).all()


def test_largest_remainders_get_the_rest() -> None:
    assert quotas(np.array([50, 30, 20]), 11).tolist() == [6, 3, 2]
    assert quotas(np.array([10, 10, 10]), 10).tolist() == [4, 3, 3]
    assert quotas(np.array([1, 1, 98]), 50).tolist() == [0, 0, 50]


@given(
    n=st.integers(2, 200),
    size=st.integers(1, 199),
    seed=st.integers(0, 10),
    num_classes=st.integers(1, 5),
)
def test_held_out_rows(n: int, size: int, seed: int, num_classes: int) -> None:
    rows = np.arange(n) * 3 + 1
    classes = np.arange(n) % num_classes
    present = len(np.unique(classes))
    if size > n - present:
        with pytest.raises(ValueError, match="last sample"):
            held_out(rows, size, seed, classes)
        return
    chosen = held_out(rows, size, seed, classes)
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    assert np.isin(chosen, rows).all()
    left = np.setdiff1d(rows, chosen)
    assert len(np.unique(classes[np.isin(rows, left)])) == present


def test_the_choice_depends_on_the_seed_alone_and_never_changes() -> None:
    rows = np.arange(20)
    assert held_out(rows, 4, 0).tolist() == held_out(rows[::-1].copy(), 4, 0).tolist()
    assert held_out(rows, 4, 0).tolist() != held_out(rows, 4, 1).tolist()
    assert held_out(rows, 4, 0).tolist() == [3, 9, 10, 15]


def test_rows_are_chosen_evenly() -> None:
    counts = np.zeros(10)
    for seed in range(2000):
        counts[held_out(np.arange(10), 3, seed)] += 1
    assert (np.abs(counts - 600) < 100).all()  # about five standard deviations


def test_nothing_to_hold_out_is_refused() -> None:
    with pytest.raises(ValueError, match="less than one of 5 samples"):
        held_out(np.arange(5), 0, 0)


@pytest.mark.parametrize(
    ("n", "fraction", "expected"), [(1797, 0.2, 359), (10, 0.25, 3), (10, 0.04, 0), (7, 0.5, 4)]
)
def test_rounding_is_to_the_nearest(n: int, fraction: float, expected: int) -> None:
    assert rounded(n, fraction) == expected
