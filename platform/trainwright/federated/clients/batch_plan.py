"""Which samples many clients see in which update, when they are trained side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class BatchPlan:
    """The updates of k clients, those with more of them first.

    Attributes:
        steps: updates of each client, shape (k,), descending.
        rows: rows of the training table, shape (steps, k, batch).
        weights: of the samples, the same shape: 0 for those that only fill up a batch, the
            others such that the mean over the batch is the mean over them. A batch is filled up
            with its first sample: what is not finite of another one would spoil it at any weight.
        epochs: of the client, shape (steps, k), from 0.
    """

    steps: Tensor
    rows: Tensor
    weights: Tensor
    epochs: Tensor

    @classmethod
    def of(cls, orders: Sequence[Ints], sizes: Ints, steps: Ints, batch_size: int) -> BatchPlan:
        """Cut the orders of samples into updates.

        Args:
            orders: for each client its rows in their order, for one epoch after another, as many
                epochs as its updates take.
            sizes: samples of each client, shape (k,).
            steps: updates of each client, shape (k,), descending.
            batch_size: samples of an update; the last of an epoch may have fewer.
        """
        in_epoch = -(-sizes // batch_size)
        counts = np.array([len(order) for order in orders])
        # The place of every sample in (step, client, slot), all at once.
        client = np.repeat(np.arange(len(orders)), counts)
        position = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        epoch, inside = np.divmod(position, sizes[client])
        step = epoch * in_epoch[client] + inside // batch_size
        real = step < steps[client]
        shape = (int(steps[0]), len(orders))
        place = (step * shape[1] + client)[real]
        slot = (inside % batch_size)[real]
        number = np.bincount(place, minlength=shape[0] * shape[1])
        width = int(number.max())
        taken = np.concatenate(orders)[real]
        first = slot == 0
        rows = np.zeros((len(number), width), dtype=np.int64)
        rows[place[first]] = taken[first, None]
        weights = np.zeros(rows.shape, dtype=np.float32)
        rows[place, slot] = taken
        weights[place, slot] = width / number[place]
        return cls(
            torch.from_numpy(steps),
            torch.from_numpy(rows.reshape(*shape, width)),
            torch.from_numpy(weights.reshape(*shape, width)),
            torch.from_numpy(np.arange(shape[0])[:, None] // in_epoch),
        )
