from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import class_counts, has_each_row_once, population
from scipy import stats

from trainwright_strategies.partitioners.quantity_skew import QuantitySkew


@given(
    rows=st.integers(1, 80),
    clients=st.integers(1, 20),
    least=st.integers(1, 4),
    sigma=st.floats(0, 5) | st.none(),
    seed=st.integers(0, 2),
)
def test_every_row_once_and_nobody_with_less(rows, clients, least, sigma, seed):
    clients = max(1, min(clients, rows // least))
    least = min(least, rows)
    options = {"alpha": 0.2} if sigma is None else {"sigma": sigma}
    partition = QuantitySkew(min_samples=least, **options)(population(clients, [0] * rows, seed))
    assert has_each_row_once(partition, rows)
    sizes = partition.sizes(np.arange(clients))
    assert sizes.min() >= least
    if sigma == 0:
        assert sizes.max() - sizes.min() <= 1


def test_sizes_are_log_normal():
    sizes = QuantitySkew(sigma=0.7)(population(400, [0] * 400_000)).sizes(np.arange(400))
    assert stats.kstest(np.log(sizes), "norm", (np.log(sizes).mean(), 0.7)).pvalue > 1e-3


def test_sizes_are_those_of_a_dirichlet_distribution():
    sizes = QuantitySkew(alpha=2.0)(population(400, [0] * 400_000)).sizes(np.arange(400)) - 1
    share = sizes / sizes.sum()
    assert stats.kstest(share, stats.beta(2.0, 399 * 2.0).cdf).pvalue > 1e-3


def test_clients_are_alike_in_all_but_size():
    labels = np.arange(3000) % 3
    counts = class_counts(QuantitySkew(sigma=1.0)(population(20, labels)), labels)
    assert stats.chi2_contingency(counts).pvalue > 1e-3
    assert counts.sum(axis=1).max() > 5 * counts.sum(axis=1).min()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sigma": 1.0, "alpha": 1.0}, "not both"),
        ({"sigma": -1.0}, "sigma must be a number of at least 0"),
        ({"alpha": 0.0}, "alpha must be a number above 0"),
        ({"min_samples": 0}, "min_samples must be"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        QuantitySkew(**options)


def test_too_few_samples_for_all():
    with pytest.raises(ValueError, match="10 training samples are too few for 4 clients"):
        QuantitySkew(min_samples=3)(population(4, [0] * 10))
