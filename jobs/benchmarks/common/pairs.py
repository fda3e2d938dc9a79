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
        median: median over the pairs; of several groups, the mean of their medians.
        low: lower end of its 95 % interval, by bootstrap over groups and pairs.
        high: upper end.
        pairs: number of pairs, over all groups.
        groups: how often processes were started anew.
    """

    median: float
    low: float
    high: float
    pairs: int
    groups: int = 1


def ratio_of(ours: Sequence[float], bare: Sequence[float], groups: int = 1) -> Ratio:
    """The ratio of paired times.

    Where things lie in memory can make a process faster or slower for all its life, which pairs
    of the same processes do not tell. Groups of pairs from different ones do.

    Args:
        ours: seconds, one number per pair, group by group.
        bare: seconds, in the same order.
        groups: equally many pairs each.

    Raises:
        ValueError: no pairs, not as many of one side as of the other, or groups of unlike size.
    """
    if len(ours) != len(bare) or not ours:
        raise ValueError(f"needs pairs of times, got {len(ours)} and {len(bare)}")
    if len(ours) % groups:
        raise ValueError(f"needs groups of one size, got {len(ours)} pairs in {groups} groups")
    ratios = (np.asarray(ours) / np.asarray(bare)).reshape(groups, -1)
    random, pairs = np.random.default_rng(0), ratios.shape[1]
    group = random.integers(0, groups, (RESAMPLES, groups)) if groups > 1 else np.zeros((1, 1), int)
    pair = random.integers(0, pairs, (RESAMPLES, groups, pairs))
    means = np.median(ratios[group[..., None], pair], axis=2).mean(axis=1)
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    middle = np.median(ratios, axis=1).mean()
    return Ratio(float(middle), float(low), float(high), len(ours), groups)


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
