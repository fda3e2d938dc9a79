"""Hashes and their order against the slow ways of making them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.data.hashes import hashes, sorting
from trainwright.data.random import bits, key


@pytest.mark.parametrize("size", [0, 1, 8192, 20_000])
@pytest.mark.parametrize("number", [0, -1, key("order", 3)])
def test_hashes_are_the_bits_of_random_numbers(size: int, number: int) -> None:
    ids = 5 * np.arange(size) - 7
    given = ids.copy()
    assert np.array_equal(hashes(number, ids), bits(number, torch.from_numpy(ids)).numpy())
    assert np.array_equal(ids, given), "what was given is left as it was"


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 40), st.sampled_from([6, 20, 63]))
def test_sorting_is_that_of_numpy_also_where_hashes_differ_in_their_last_bits(
    data: Any, rows: int, columns: int, bits: int
) -> None:
    hashes = st.integers(-(2**bits), 2**bits - 1)
    size = rows * columns
    drawn = data.draw(st.lists(hashes, min_size=size, max_size=size, unique=True))
    values = np.asarray(drawn, dtype=np.int64).reshape(rows, columns)
    assert sorting(values).tolist() == np.argsort(values, axis=1).tolist()
