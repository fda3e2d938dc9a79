from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import class_counts, has_each_row_once, population
from scipy import stats

from trainwright_strategies.partitioners.iid import Iid


@given(rows=st.integers(1, 60), clients=st.integers(1, 60), seed=st.integers(0, 2))
def test_every_row_once_and_sizes_that_differ_by_one(rows, clients, seed):
    clients = min(rows, clients)
    partition = Iid()(population(clients, [0] * rows, seed))
    assert has_each_row_once(partition, rows)
    sizes = partition.sizes(np.arange(clients))
    assert sizes.max() - sizes.min() <= 1
    assert partition.digest() == Iid()(population(clients, [0] * rows, seed)).digest()


def test_classes_are_spread_by_chance_alone():
    labels = np.arange(3000) % 3
    counts = class_counts(Iid()(population(30, labels)), labels)
    assert stats.chi2_contingency(counts).pvalue > 1e-3
    assert counts.std() > 1  # and not dealt out class by class


def test_the_seed_decides():
    one, other = (Iid()(population(5, [0] * 50, seed)) for seed in (0, 1))
    assert one.digest() != other.digest()


def test_more_clients_than_samples():
    with pytest.raises(ValueError, match="5 training samples are too few for 6 clients"):
        Iid()(population(6, [0] * 5))
    with pytest.raises(ValueError, match=r"federation\.clients"):
        Iid()(population(None, [0] * 5))
