"""A share of the elements of a vector."""

from __future__ import annotations

import math


def check_fraction(fraction: float) -> None:
    """Refuse what is no share that could be sent.

    Raises:
        ValueError: it is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, got {fraction!r}")


def num_sent(fraction: float, size: int) -> int:
    """ceil(fraction * size): at least 1 of a vector that has elements."""
    return math.ceil(round(fraction * size, 9))  # 0.07 * 100 is a little above 7
