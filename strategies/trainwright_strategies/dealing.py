"""How rows are dealt out to clients: orders by hash, and sizes from shares."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from trainwright.data.random import bits

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def shuffled(rows: Ints, key: int) -> Ints:
    """``rows`` in random order: that of their hashes, the same on every machine."""
    return rows[np.argsort(bits(key, torch.from_numpy(rows)).numpy(), kind="stable")]


def sizes_of(shares: Floats, total: Ints | int) -> Ints:
    """Whole numbers in proportion to shares.

    Each is less than 1 off on either side, for ends are rounded and not sizes.

    Args:
        shares: at least 0, summing to 1 along the last dimension, shape (..., parts).
        total: what the numbers sum to, shape (...).
    """
    whole = np.asarray(total, dtype=np.int64)[..., None]
    ends = np.floor(np.cumsum(shares, axis=-1) * whole + 0.5).astype(np.int64)
    return np.diff(ends, axis=-1, prepend=0)


def dealt(labels: Ints, counts: Ints, key: int) -> Ints:
    """The owner of each row where each client gets so many rows of each class, at random.

    Args:
        labels: class of each row, shape (rows,).
        counts: rows of each class that each client gets, shape (classes, clients); those of a
            class sum to its rows.
        key: of the random order of rows.
    """
    rows = shuffled(np.arange(len(labels)), key)
    by_class = rows[np.argsort(labels[rows], kind="stable")]
    num_classes, num_clients = counts.shape
    owners = np.empty_like(by_class)
    owners[by_class] = np.repeat(np.tile(np.arange(num_clients), num_classes), counts.reshape(-1))
    return owners
