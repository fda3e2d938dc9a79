"""Orders and cuts that keep groups of samples whole (bags, queries, users): pure functions.

``bounds`` are the positions of an order at which a group may be followed by another: 0, the end
of each group, ascending.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from trainwright.data.hashes import Ints, hashes
from trainwright.data.random import key

Range = tuple[int, int]


def group_order(groups: Ints, seed: int, epoch: int, shuffle: bool = True) -> Ints:
    """The rows of one epoch, group by group; the rows of a group in the table's order.

    Args:
        groups: the group of each row, any integers.
        seed: the job's seed.
        epoch: counted from 0.
        shuffle: False leaves the groups in the order of their first rows.
    """
    ids, first, group = np.unique(groups, return_index=True, return_inverse=True)
    rank = first
    if shuffle:
        rank = hashes(key(seed, "order", epoch), ids)
    return np.lexsort((group, rank[group])).astype(np.int64, copy=False)


def group_bounds(groups: Ints) -> Ints:
    """The bounds of groups given in training order.

    Raises:
        ValueError: a group stands in several places.
    """
    ends = np.flatnonzero(groups[1:] != groups[:-1]) + 1
    bounds = np.concatenate([[0], ends, [len(groups)]]).astype(np.int64)
    if len(bounds) - 1 != len(np.unique(groups)):
        raise ValueError("a group stands in several places of the order: keep its rows together")
    return bounds


def cut_at_bounds(bounds: Ints, targets: Sequence[float], least: int = 1) -> list[Range]:
    """Cut ``bounds[0]..bounds[-1]`` at the bounds nearest to ``targets``.

    Args:
        bounds: ascending.
        targets: where the parts but the last should end, ascending.
        least: groups that every part has at least.

    Raises:
        ValueError: there are too few groups.
    """
    num_groups, parts = len(bounds) - 1, len(targets) + 1
    if num_groups < least * parts:
        raise ValueError(f"{num_groups} groups cannot be cut into {parts} parts of {least}")
    places = [0]
    for index, target in enumerate(targets):
        low, high = places[-1] + least, num_groups - least * (parts - 1 - index)
        place = int(np.clip(np.searchsorted(bounds, target), low, high))
        if place > low and target - bounds[place - 1] <= bounds[place] - target:
            place -= 1
        places.append(place)
    ends = [int(bounds[place]) for place in [*places, num_groups]]
    return list(pairwise(ends))


def num_group_updates(num_groups: int, num_updates: int, cut_for: int) -> int:
    """How many updates an epoch has when each of ``cut_for`` workers needs a group in each of them.

    Raises:
        ValueError: there are fewer groups than workers.
    """
    if num_groups < cut_for:
        raise ValueError(
            f"{num_groups} groups cannot be shared by {cut_for} workers: each needs at least "
            f"one; use at most {num_groups} workers"
        )
    return min(num_updates, num_groups // cut_for)


def group_updates(bounds: Ints, updates: Sequence[Range], cut_for: int) -> list[Range]:
    """As many updates as there are ``updates``, cut at the bounds nearest to where those end.

    Each has groups for ``cut_for`` workers.
    """
    return cut_at_bounds(bounds, [stop for _, stop in updates[:-1]], cut_for)


def group_shares(
    bounds: Ints, update: Range, world_size: int, micro_batch_size: int | None
) -> list[list[Range]]:
    """The micro-batches of each worker in one update; equally many on each, no group cut.

    There are as many as it takes for none to be larger than ``micro_batch_size``, as far as
    every worker has a group for each.
    """
    shares = _even(_between(bounds, *update), world_size)
    own = [_between(bounds, *share) for share in shares]
    if micro_batch_size is None:
        return [[share] for share in shares]
    most = min(len(part) - 1 for part in own)
    for num in range(1, most + 1):
        cuts = [_even(part, num) for part in own]
        if max(stop - start for parts in cuts for start, stop in parts) <= micro_batch_size:
            break
    return cuts


def _between(bounds: Ints, start: int, stop: int) -> Ints:
    first, last = np.searchsorted(bounds, [start, stop])
    return bounds[first : last + 1]


def _even(bounds: Ints, parts: int) -> list[Range]:
    start, stop = int(bounds[0]), int(bounds[-1])
    return cut_at_bounds(bounds, [start + (stop - start) * k / parts for k in range(1, parts)])
