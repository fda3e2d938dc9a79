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
        return self.training_of(np.array([client]))[0]

    def training_of(self, clients: Ints) -> list[Tensor]:
        """:meth:`training` of some clients, which costs less than one by one."""
        rows = self.partition.rows_of(clients)
        if not self.held_out or not rows:
            return rows
        return [part[~kept] for part, kept in zip(rows, self._kept(rows), strict=True)]

    def measured(self, client: int) -> Tensor:
        """Rows on which a client is measured, int64.

        Those held out, none for a client with one row; with ``held_out`` 0 those it trains on.
        """
        rows = self.partition.rows(client)
        return rows[self._kept([rows])[0]] if self.held_out else rows

    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients trains on."""
        sizes = self.partition.sizes(clients)
        return sizes - self._num_held_out(sizes) if self.held_out else sizes

    def _num_held_out(self, sizes: Ints) -> Ints:
        rounded = np.floor(sizes * self.held_out + 0.5).astype(np.int64)
        counts: Ints = np.minimum(np.maximum(rounded, 1), sizes - 1)
        return counts

    def _kept(self, rows: list[Tensor]) -> list[Tensor]:
        """Which of each client's rows are held out."""
        lengths = [len(part) for part in rows]
        counts = self._num_held_out(np.array(lengths)).tolist()
        hashes = bits(key(self.seed, "client-held-out"), torch.cat(rows))
        kept = torch.zeros(len(hashes), dtype=torch.bool)
        parts = torch.split(kept, lengths)
        for part, own, count in zip(parts, torch.split(hashes, lengths), counts, strict=True):
            part[own.argsort()[:count]] = True
        return list(parts)
