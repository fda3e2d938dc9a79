"""Timing two ways of doing the same thing against each other, in interleaved pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

RESAMPLES = 10_000
COVERAGE = 0.95

Result = TypeVar("Result")


@dataclass(frozen=True)
class Side:
    """Seconds of one side over the pairs, for one unit of work.

    Attributes:
        median: half of the pairs took longer.
        low: the first quartile.
        high: the third quartile.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float], units: int = 1) -> Side:
        """Median and quartiles of times that each cover ``units`` pieces of work."""
        low, median, high = np.quantile(np.asarray(seconds) / units, [0.25, 0.5, 0.75])
        return cls(float(median), float(low), float(high))


@dataclass(frozen=True)
class Ratio:
    """How much longer ours takes: the median over pairs of ours / bare, with an interval.

    Attributes:
        median: median over the pairs.
        low: lower end of the 95 % interval of the median, by bootstrap over the pairs.
        high: upper end.
        pairs: number of pairs.
    """

    median: float
    low: float
    high: float
    pairs: int


def ratio_of(ours: Sequence[float], bare: Sequence[float]) -> Ratio:
    """The ratio of paired times.

    Args:
        ours: seconds, one number per pair.
        bare: seconds, in the same order.

    Raises:
        ValueError: no pairs, or not as many of one side as of the other.
    """
    if len(ours) != len(bare) or not ours:
        raise ValueError(f"needs pairs of times, got {len(ours)} and {len(bare)}")
    ratios = np.asarray(ours) / np.asarray(bare)
    chosen = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLES, len(ratios)))
    medians = np.median(ratios[chosen], axis=1)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Ratio(float(np.median(ratios)), float(low), float(high), len(ratios))


def interleave(
    ours: Callable[[], Result], bare: Callable[[], Result], pairs: int
) -> tuple[list[Result], list[Result]]:
    """Run both in turn, each first in every other pair, so that a drift of the machine cancels.

    Args:
        ours: does its piece of work and returns what was measured.
        bare: likewise.
        pairs: how often.
    """
    results: tuple[list[Result], list[Result]] = ([], [])
    for pair in range(pairs):
        for which in (0, 1) if pair % 2 == 0 else (1, 0):
            results[which].append((ours, bare)[which]())
    return results
