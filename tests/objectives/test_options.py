"""Whole numbers among options, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from trainwright_objectives.options import check_whole


@pytest.mark.parametrize("value", [0, -3, 1.0, 2.5, True, "2"])
def test_what_is_no_whole_number_of_at_least_one(value: Any) -> None:
    with pytest.raises(ValueError, match=f"k must be a whole number of at least 1, got {value!r}"):
        check_whole("k", value)


def test_whole_numbers() -> None:
    check_whole("k", 1)
    check_whole("k", 0, 0)
    with pytest.raises(ValueError, match="at least 2, got 1"):
        check_whole("k", 1, 2)
