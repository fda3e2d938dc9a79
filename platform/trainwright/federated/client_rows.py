"""What each client trains on, and what it keeps for being measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainwright.data.random import bits, key
from trainwright.federated.partition import Ints, Partition


@dataclass(frozen=True)
class ClientRows:
    """The rows of clients in two parts: pure functions, found when they are asked for.

    Rows are held out in the order of a hash of seed and row alone. So where clients share rows,
    one that is held out by one client is seldom trained on by another.

    Attributes:
        partition: all rows of every client.
        held_out: share of a client's rows that is not trained on, in [0, 1); rounded, and above 0
            at least one row of a client that has two or more.
        seed: of the job.
    """

    partition: Partition
    held_out: float
    seed: int

    def training(self, client: int) -> Tensor:
        """Rows that a client trains on, int64, at least one."""
        return self._parts(client)[0]

    def measured(self, client: int) -> Tensor:
        """Rows on which a client is measured, int64.

        Those held out, none for a client with one row; with ``held_out`` 0 those it trains on.
        """
        training, kept = self._parts(client)
        return kept if self.held_out else training

    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients trains on."""
        sizes = self.partition.sizes(clients)
        return sizes - self._num_held_out(sizes)

    def _num_held_out(self, sizes: Ints) -> Ints:
        if not self.held_out:
            return np.zeros_like(sizes)
        rounded = np.floor(sizes * self.held_out + 0.5).astype(np.int64)
        counts: Ints = np.minimum(np.maximum(rounded, 1), sizes - 1)
        return counts

    def _parts(self, client: int) -> tuple[Tensor, Tensor]:
        rows = self.partition.rows(client)
        count = int(self._num_held_out(np.array([len(rows)]))[0])
        if count == 0:
            return rows, rows[:0]
        kept = torch.zeros(len(rows), dtype=torch.bool)
        kept[bits(key(self.seed, "client-held-out"), rows).argsort()[:count]] = True
        return rows[~kept], rows[kept]
