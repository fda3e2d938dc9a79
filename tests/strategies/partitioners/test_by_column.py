from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from populations import has_each_row_once, population

from trainwright_strategies.partitioners.by_column import ByColumn


def divide(values, num_clients=None, **options):
    table = population(num_clients, [0] * len(values), site=torch.as_tensor(values))
    return ByColumn("site", **options)(table)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40))
def test_a_client_for_each_value(values):
    partition = divide(values)
    assert has_each_row_once(partition, len(values))
    owners = [np.array(values)[partition.rows(k).numpy()] for k in range(partition.num_clients)]
    assert all(len(set(found)) == 1 for found in owners)
    assert [int(found[0]) for found in owners] == sorted(set(values))


def test_values_of_shape_one_are_numbers_too():
    partition = divide([[0.5], [0.25], [0.5]])
    assert [partition.rows(k).tolist() for k in range(2)] == [[1], [0, 2]]


def test_small_clients_are_left_out():
    partition = divide([4, 4, 5, 6, 6, 6], min_samples=2)
    assert [partition.rows(k).tolist() for k in range(2)] == [[0, 1], [3, 4, 5]]
    assert partition.num_clients == 2


@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([1, 2, 2], {"num_clients": 2}, "'site' decides how many clients there are, 2: remove fed"),
        ([[1, 2], [2, 3]], {}, r"'site' holds \[2\] numbers for each sample"),
        ([1.0, float("nan")], {}, "not finite"),
        ([1, 2, 2], {"min_samples": 3}, "the commonest 2: lower min_samples"),
        ([1, 2, 2], {"min_samples": 0}, "min_samples must be a whole number"),
    ],
)
def test_columns_that_divide_nothing(values, options, words):
    with pytest.raises(ValueError, match=words):
        divide(values, **options)
