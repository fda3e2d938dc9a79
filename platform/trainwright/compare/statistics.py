"""Means over seeds and how far they can be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval.

    Attributes:
        count: number of values.
        mean: arithmetic mean; NaN of no values.
        std: sample standard deviation; NaN of fewer than two values.
        lower: lower end of Student's interval of the mean; NaN of fewer than two values.
        upper: its upper end.
    """

    count: int
    mean: float
    std: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from independent values, one of each seed.

        The interval is ``mean +- t * std / sqrt(count)`` with the two-sided 95 % quantile ``t``
        of Student's distribution with ``count - 1`` degrees of freedom.
        """
        count = len(values)
        if count == 0:
            return cls(0, math.nan, math.nan, math.nan, math.nan)
        mean = math.fsum(values) / count if all(map(math.isfinite, values)) else sum(values) / count
        if count == 1:
            return cls(1, mean, math.nan, math.nan, math.nan)
        std = math.sqrt(sum((value - mean) ** 2 for value in values) / (count - 1))
        half = student_quantile(count - 1) * std / math.sqrt(count)
        return cls(count, mean, std, mean - half, mean + half)


def student_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """The two-sided quantile of Student's t distribution.

    Args:
        degrees: degrees of freedom, at least 1.
        confidence: probability of lying between minus the quantile and the quantile.
    """
    # scipy.stats takes a second to import; this is the function it calls.
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))


def median(values: Sequence[float]) -> float:
    """The middle value, or the mean of the two in the middle; NaN of none or of any NaN."""
    if not values or any(math.isnan(value) for value in values):
        return math.nan
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
