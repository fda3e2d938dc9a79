"""The coordinate median against the standard library's."""

from __future__ import annotations

import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainwright.testing import Miniature, Quadratics
from trainwright_strategies.aggregators.coordinate_median import CoordinateMedian


def served(updates: Tensor) -> Tensor:
    played = Miniature(CoordinateMedian(), Quadratics(torch.zeros(len(updates), updates.shape[1])))
    played.receive(dict(enumerate(updates)))
    return played.weights


def test_worked_example() -> None:
    updates = torch.tensor([[1.0, 9.0], [5.0, -2.0], [2.0, 4.0]])
    assert served(updates).tolist() == [2.0, 4.0]
    assert served(updates[:2]).tolist() == [3.0, 3.5], "of two their mean"
    assert served(updates[:1]).tolist() == [1.0, 9.0]


numbers = st.floats(-(2.0**100), 2.0**100, width=32)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=9))
def test_each_coordinate_is_the_median_of_its_own(rows: list[tuple[float, float]]) -> None:
    expected = torch.tensor([statistics.median(column) for column in zip(*rows, strict=True)])
    torch.testing.assert_close(served(torch.tensor(rows)), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("honest", [4, 5])
def test_a_minority_can_at_most_choose_among_what_the_others_say(honest: int) -> None:
    good = torch.randn(honest, 6, generator=torch.Generator().manual_seed(honest))
    for wild in (1e30, -1e30, 0.3):
        found = served(torch.cat([torch.full((3, 6), wild), good]))
        assert (found >= good.min(dim=0).values).all()
        assert (found <= good.max(dim=0).values).all()
