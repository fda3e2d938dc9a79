"""In which order clients see their samples: a pure function of seed, round, epoch and client."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainwright.data.hashes import hashes
from trainwright.data.random import key


def client_orders(
    seed: int, round: int, epoch: int, clients: Sequence[int], rows: Sequence[Tensor]
) -> list[Tensor]:
    """The rows of some clients in the order of one epoch, each client's by itself.

    All are sorted at once, by a 64-bit hash of (seed, round, epoch, client, place among the
    client's rows): a generator for each client would take three times as long. Which clients are
    asked for together makes no difference.

    Args:
        seed: of the job.
        round: from 0.
        epoch: from 0.
        clients: their numbers, no two alike, below 2**31.
        rows: of each client, int64, at least one.
    """
    sizes = [len(own) for own in rows]
    ends = np.cumsum(sizes)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(ends[-1]) - np.repeat(ends - sizes, sizes)
    ids = (np.array(clients, dtype=np.int64)[owner] << 32) + place
    order = np.lexsort((hashes(key(seed, "order", round, epoch), ids), owner))
    ordered = torch.cat(list(rows)).index_select(0, torch.from_numpy(order))
    return list(torch.split(ordered, sizes))
