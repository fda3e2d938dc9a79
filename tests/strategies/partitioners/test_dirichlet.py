from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import class_counts, has_each_row_once, label_lists, population

from trainwright_strategies.partitioners.dirichlet import Dirichlet

LABELS = np.arange(2000) % 10


@given(
    labels=label_lists(),
    clients=st.integers(1, 5),
    alpha=st.floats(0.3, 1e3),
    equal=st.booleans(),
    seed=st.integers(0, 2),
)
def test_every_row_once(labels, clients, alpha, equal, seed):
    clients = max(1, min(clients, len(labels) // 8))
    partition = Dirichlet(alpha, equal_sizes=equal)(population(clients, labels, seed))
    assert has_each_row_once(partition, len(labels))
    sizes = partition.sizes(np.arange(clients))
    assert sizes.min() >= 1
    assert not equal or sizes.max() - sizes.min() <= 1
    again = Dirichlet(alpha, equal_sizes=equal)(population(clients, labels, seed))
    assert again.digest() == partition.digest()


def test_shares_of_a_class_have_the_variance_of_the_distribution():
    """A client's share of a class is beta(alpha, (K - 1) alpha)."""
    alpha, clients = 0.5, 20
    shares = []
    for seed in range(20):
        counts = class_counts(Dirichlet(alpha)(population(clients, LABELS, seed)), LABELS)
        shares.append(counts / counts.sum(axis=0))
    mean = 1 / clients
    expected = mean * (1 - mean) / (clients * alpha + 1)
    assert np.var(shares) == pytest.approx(expected, rel=0.15)


def test_mixes_of_equal_clients_have_nearly_the_variance_of_the_distribution():
    """0.7 of it at alpha 0.1 where mixes are not scaled to what there is of each class."""
    for alpha in (0.1, 1.0):
        mixes = []
        for seed in range(10):
            partition = Dirichlet(alpha, equal_sizes=True)(population(20, LABELS, seed))
            mixes.append(class_counts(partition, LABELS) / 100)
        expected = 0.1 * 0.9 / (10 * alpha + 1) + 0.1 * 0.9 / 100 * alpha * 10 / (10 * alpha + 1)
        assert np.var(mixes) == pytest.approx(expected, rel=0.17)


def test_the_last_equal_clients_are_not_left_with_what_nobody_wanted():
    mixes = class_counts(Dirichlet(100, equal_sizes=True)(population(20, LABELS)), LABELS) / 100
    assert np.abs(mixes - 0.1).max() < 0.12
    unlike = np.abs(mixes - 0.1).sum(axis=1)
    assert unlike[-3:].mean() < 1.6 * unlike[:-3].mean()


@pytest.mark.parametrize("equal", [False, True])
def test_large_alpha_is_nearly_even_and_small_alpha_is_not(equal):
    def evenness(alpha):
        partition = Dirichlet(alpha, equal_sizes=equal)(population(10, LABELS))
        counts = class_counts(partition, LABELS)
        return (counts / counts.sum(axis=1, keepdims=True)).max(axis=1).mean()

    assert evenness(1000) < 0.2
    assert evenness(0.05) > 0.5


def test_shares_are_drawn_again_until_all_clients_have_enough():
    free = Dirichlet(0.3)(population(10, LABELS))
    enough = Dirichlet(0.3, min_samples=80)(population(10, LABELS))
    assert free.sizes(np.arange(10)).min() < 80 <= enough.sizes(np.arange(10)).min()
    assert has_each_row_once(enough, len(LABELS))


def test_what_cannot_be_found_ends_with_the_best_that_was():
    with pytest.raises(
        ValueError, match=r"each of 20 clients has 99 of 2000 samples or more; the "
    ):
        Dirichlet(0.01, min_samples=99)(population(20, LABELS))
    with pytest.raises(ValueError, match="too few for 21 clients with at least 99 samples each"):
        Dirichlet(0.1, min_samples=99)(population(21, LABELS))
    partition = Dirichlet(0.01, min_samples=99, equal_sizes=True)(population(20, LABELS))
    assert partition.sizes(np.arange(20)).tolist() == [100] * 20


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match="alpha must be a number above 0"):
        Dirichlet(alpha)


def test_a_class_without_samples_is_named():
    with pytest.raises(ValueError, match="class 1 of column 'label' has no training sample"):
        Dirichlet(1.0)(population(2, [0, 2, 0, 2, 0]))
    with pytest.raises(ValueError, match="min_samples"):
        Dirichlet(1.0, min_samples=0)
