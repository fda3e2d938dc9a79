"""The memory benchmark in a short form."""

from __future__ import annotations

import os

from common.children import environment_of
from memory.measure import compare


def test_a_short_form() -> None:
    result = compare(samples=8, pairs=2)
    assert result.ratio.pairs == 2
    assert 0 < result.ratio.low <= result.ratio.median <= result.ratio.high
    assert min(result.ours_peak, result.bare_peak) > 2**20


def test_the_environment_of_children_is_theirs_alone() -> None:
    before = dict(os.environ)
    with environment_of({"A_NAME_OF_THIS_TEST": "1"}):
        assert os.environ["A_NAME_OF_THIS_TEST"] == "1"
    assert dict(os.environ) == before
