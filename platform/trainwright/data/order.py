"""Which samples an epoch holds in which order, and who computes which: pure functions.

The order and the cuts into updates do not depend on how many workers there are at present; only
the shares of one update do. Ranges are half open, ``start <= position < stop``, over positions in
the epoch.
"""

from __future__ import annotations

import numpy as np

from trainwright.data.hashes import Ints, hashes, sorting
from trainwright.data.random import key


def epoch_order(num_samples: int, seed: int, epoch: int, shuffle: bool = True) -> Ints:
    """The sample indices of one epoch in training order, each of ``0..num_samples-1`` once.

    Samples are sorted by a 64-bit hash of (seed, epoch, index), so that the order is the same on
    every machine and with every version of the libraries.

    Args:
        num_samples: size of the training table.
        seed: the job's seed.
        epoch: counted from 0.
        shuffle: False gives the table's own order in every epoch.
    """
    if not shuffle:
        return np.arange(num_samples, dtype=np.int64)
    rows = np.arange(num_samples, dtype=np.int64)
    order: Ints = sorting(hashes(key(seed, "order", epoch), rows)[None])[0]
    return order


def split_updates(num_samples: int, batch_size: int, cut_for: int) -> list[tuple[int, int]]:
    """Cut an epoch into updates of ``batch_size`` samples.

    A tail shorter than ``max(cut_for, min(8, batch_size // 4))`` joins the update before it,
    so that every worker has a sample in every update; the constant makes the cuts the same for
    all numbers of up to 8 workers when ``batch_size >= 32``.

    Args:
        num_samples: samples in the epoch.
        batch_size: the global batch, over all workers.
        cut_for: most workers that may share an update over the whole run.

    Raises:
        ValueError: fewer samples, or a smaller batch, than workers: some would have nothing to do.
    """
    if num_samples < cut_for:
        raise ValueError(
            f"{num_samples} training samples cannot be shared by {cut_for} workers: "
            f"each needs at least one; use at most {num_samples} workers"
        )
    if batch_size < cut_for:
        raise ValueError(
            f"a batch of {batch_size} cannot be shared by {cut_for} workers: each needs at "
            f"least one sample per update; use a batch_size of at least {cut_for}"
        )
    stops = list(range(batch_size, num_samples + 1, batch_size))
    tail = num_samples % batch_size
    if tail and stops and tail < max(cut_for, min(8, batch_size // 4)):
        stops[-1] = num_samples
    elif tail:
        stops.append(num_samples)
    return list(zip([0, *stops[:-1]], stops, strict=True))


def share(start: int, stop: int, rank: int, world_size: int) -> tuple[int, int]:
    """The contiguous part of an update that worker ``rank`` computes.

    Shares differ by at most one sample; the larger ones come first.
    """
    return _part(start, stop, rank, world_size)


def num_micro_batches(update_size: int, world_size: int, micro_batch_size: int | None) -> int:
    """How many micro-batches every worker makes of its share; the same number on each.

    It is never more than the smallest share, so that no micro-batch is empty. For that reason
    one may hold a sample more than asked for where the shares differ and ``micro_batch_size`` is 1.

    Args:
        update_size: samples of the update over all workers.
        world_size: number of workers.
        micro_batch_size: most samples per forward and worker; None takes the share whole.

    Raises:
        ValueError: the update has fewer samples than workers.
    """
    smallest = update_size // world_size
    if smallest == 0:
        raise ValueError(f"an update of {update_size} samples leaves some of {world_size} idle")
    if micro_batch_size is None:
        return 1
    largest = -(-update_size // world_size)
    return min(-(-largest // micro_batch_size), smallest)


def micro_batches(start: int, stop: int, num: int) -> list[tuple[int, int]]:
    """Cut a worker's share into ``num`` contiguous parts that differ by at most one sample.

    Raises:
        ValueError: a part would be empty.
    """
    if not 0 < num <= stop - start:
        raise ValueError(f"{stop - start} samples cannot be cut into {num} micro-batches")
    return [_part(start, stop, index, num) for index in range(num)]


def _part(start: int, stop: int, index: int, num: int) -> tuple[int, int]:
    base, extra = divmod(stop - start, num)
    first = start + index * base + min(index, extra)
    return first, first + base + (index < extra)
