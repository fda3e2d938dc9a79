"""Holding out samples for evaluation: which rows, as a pure function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from trainwright.data.random import bits, key

Array = npt.NDArray[Any]


def held_out(rows: Array, size: int, seed: int, classes: Array | None = None) -> Array:
    """Choose ``size`` of ``rows`` at random.

    Rows are taken in the order of a hash of (seed, row): the choice is the same on every machine.

    Args:
        rows: row numbers in the source to choose from.
        size: how many.
        seed: decides the choice.
        classes: class of each of ``rows``; each class gives its share, and keeps one row at least.

    Returns:
        The chosen row numbers in ascending order.

    Raises:
        ValueError: too few rows, so that nothing would be held out or left.
    """
    if size < 1:
        raise ValueError(f"less than one of {len(rows)} samples")
    hashes = bits(key("held-out", seed), torch.from_numpy(rows)).numpy()
    groups = np.zeros(len(rows), dtype=np.int64) if classes is None else classes
    _, group, counts = np.unique(groups, return_inverse=True, return_counts=True)
    quota = quotas(counts, size)
    by_group = np.lexsort((hashes, group))
    place_in_group = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen: Array = rows[by_group[place_in_group < quota[group[by_group]]]]
    return np.sort(chosen)


def held_out_groups(rows: Array, groups: Array, size: int, seed: int) -> Array:
    """Choose all rows of ``size`` groups at random.

    Args:
        rows: row numbers in the source to choose from.
        groups: group of each of ``rows``.
        size: how many groups.
        seed: decides the choice, together with each group's first row.

    Returns:
        The chosen row numbers in ascending order.

    Raises:
        ValueError: too few groups, so that nothing would be held out or left.
    """
    names, group = np.unique(groups, return_inverse=True)
    firsts = np.full(len(names), np.iinfo(np.int64).max)
    np.minimum.at(firsts, group, rows)
    if size < 1 or size >= len(names):
        raise ValueError(f"{size} of {len(names)} groups, and each side needs one at least")
    chosen = held_out(firsts, size, seed)
    return np.sort(rows[np.isin(firsts[group], chosen)])


def quotas(counts: Array, size: int) -> Array:
    """Divide ``size`` in proportion to ``counts``, by largest remainders.

    No group gives all it has: at most ``count - 1``. What a group cannot give, others give.

    Args:
        counts: members of each group, at least 1.
        size: the sum of the result.

    Raises:
        ValueError: the groups cannot give that many.
    """
    limit, total = counts - 1, int(counts.sum())
    if size > limit.sum():
        rest = "the last sample" if len(counts) == 1 else "the last sample of some class"
        raise ValueError(f"{size} of {total} samples and with them {rest}")
    quota: Array = np.minimum(counts * size // total, limit)
    while (missing := size - int(quota.sum())) > 0:
        shortfall = counts * size - quota * total
        able = np.flatnonzero(quota < limit)
        most = able[np.argsort(-shortfall[able], kind="stable")[:missing]]
        quota[most] += 1
    return quota


def rounded(num_samples: int, fraction: float) -> int:
    """``fraction`` of ``num_samples`` as a whole number, halves up."""
    return math.floor(num_samples * fraction + 0.5)
