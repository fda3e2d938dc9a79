from __future__ import annotations

import numpy as np
import pytest
import torch
from populations import population

from trainwright_strategies.partitioners.drawn import DrawnPopulation

LABELS = np.arange(200) % 4


def test_a_thousand_million_clients_begin_at_once():
    partition = DrawnPopulation([5, 9])(population(10**9, LABELS))
    assert partition.num_clients == 10**9
    sizes = partition.sizes(np.array([0, 10**9 - 1]))
    assert [len(partition.rows(k)) for k in (0, 10**9 - 1)] == sizes.tolist()
    assert set(sizes.tolist()) <= {5, 6, 7, 8, 9}


def test_more_clients_than_samples_share_them():
    partition = DrawnPopulation(10)(population(300, LABELS))
    rows = torch.cat([partition.rows(k) for k in range(300)])
    assert len(rows.unique()) == 200
    assert not torch.equal(partition.rows(0), partition.rows(1))


def test_alpha_gives_each_client_a_mix_of_its_own():
    def largest(alpha):
        partition = DrawnPopulation(20, alpha=alpha)(population(10**6, LABELS))
        shares = [np.bincount(LABELS[partition.rows(k).numpy()]).max() / 20 for k in range(100)]
        return np.mean(shares)

    assert largest(0.05) > 0.8 > 0.5 > largest(100.0)


def test_another_column_makes_the_classes():
    table = population(50, LABELS, site=torch.arange(200) // 100)
    partition = DrawnPopulation(8, alpha=1e-4, column="site")(table)
    sites = [set((partition.rows(k) // 100).tolist()) for k in range(50)]
    assert all(len(found) == 1 for found in sites)
    assert {0} in sites
    assert {1} in sites


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples_per_client": 0}, "samples_per_client must be a whole number of at least 1"),
        ({"samples_per_client": (9, 5)}, "fewest, most"),
        ({"alpha": 0.0}, "alpha must be a number above 0"),
        ({"column": "site"}, "of use with alpha alone"),
    ],
)
def test_options_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        DrawnPopulation(**options)


@pytest.mark.parametrize(
    ("options", "clients", "words"),
    [
        ({"samples_per_client": 201}, 5, "draw 201 samples, and the training table has 200"),
        (
            {"samples_per_client": 51, "alpha": 1.0},
            5,
            "class 0 has 50: let clients draw at most 50",
        ),
        ({}, None, r"federation\.clients"),
        ({}, 10**9 + 1, "at most 1000000000 clients"),
    ],
)
def test_populations_that_cannot_be(options, clients, words):
    with pytest.raises(ValueError, match=words):
        DrawnPopulation(**options)(population(clients, LABELS))
