"""Which rows of a table each worker evaluates, batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainwright.data.groups import group_bounds, group_order
from trainwright.data.hashes import Ints
from trainwright.data.order import share
from trainwright.data.rows import Rows
from trainwright.data.table import Table


def evaluation_rows(
    table: Rows, group: str | None, world_size: int, batch_size: int, cut_for: int
) -> list[list[Tensor]]:
    """The batches of every worker; some may have fewer than others, or none.

    Which samples are in a batch together does not depend on the number of workers at present.

    Args:
        table: what is evaluated.
        group: the column whose groups stay whole, if any.
        world_size: number of workers.
        batch_size: most samples of a batch, except where one group has more.
        cut_for: most workers that there may be; as many have equally much to do.
    """
    if group is None:
        number = _number(len(table), batch_size, cut_for)
        batches = list(torch.tensor_split(torch.arange(len(table)), number))
    else:
        assert isinstance(table, Table)
        groups = table.tensors[group].numpy()
        order = group_order(groups, 0, 0, shuffle=False)
        bounds = group_bounds(groups[order])
        size = min(batch_size, -(-len(table) // cut_for))
        batches = [torch.from_numpy(order[a:b]) for a, b in _filled(bounds, size)]
    shares = [share(0, len(batches), rank, world_size) for rank in range(world_size)]
    return [batches[low:high] for low, high in shares]


def _number(num_samples: int, batch_size: int, cut_for: int) -> int:
    """How many batches: a multiple of ``cut_for``, as far as there are samples for them."""
    rounds = -(-num_samples // (batch_size * cut_for))
    return min(rounds * cut_for, num_samples)


def _filled(bounds: Ints, batch_size: int) -> list[tuple[int, int]]:
    """Batches of as many whole groups as fit, at least one each."""
    batches = []
    low, high = int(bounds[0]), int(bounds[-1])
    while low < high:
        fits = int(np.searchsorted(bounds, low + batch_size, side="right")) - 1
        stop = max(int(bounds[fits]), int(bounds[np.searchsorted(bounds, low, side="right")]))
        batches.append((low, min(stop, high)))
        low = batches[-1][1]
    return batches
