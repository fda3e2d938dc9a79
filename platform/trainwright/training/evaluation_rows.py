"""Which rows of a table each worker evaluates, batch by batch."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from trainwright.data.groups import Ints, cut_at_bounds, group_bounds, group_order
from trainwright.data.order import share
from trainwright.data.rows import Rows
from trainwright.data.table import Table


def evaluation_rows(
    table: Rows, group: str | None, world_size: int, batch_size: int
) -> list[list[Tensor]]:
    """The batches of every worker; some may have fewer than others, or none.

    Args:
        table: what is evaluated.
        group: the column whose groups stay whole, if any.
        world_size: number of workers.
        batch_size: most samples of a batch, except where one group has more.
    """
    if group is None:
        shares = [share(0, len(table), rank, world_size) for rank in range(world_size)]
        return [
            list(torch.split(torch.arange(low, high), batch_size)) if high > low else []
            for low, high in shares
        ]
    assert isinstance(table, Table)
    groups = table.tensors[group].numpy()
    order = group_order(groups, 0, 0, shuffle=False)
    bounds = group_bounds(groups[order])
    parts = min(world_size, len(bounds) - 1)
    targets = [len(order) * part / parts for part in range(1, parts)]
    shares = [*cut_at_bounds(bounds, targets), *[(0, 0)] * (world_size - parts)]
    return [
        [torch.from_numpy(order[a:b]) for a, b in _filled(bounds, low, high, batch_size)]
        for low, high in shares
    ]


def _filled(bounds: Ints, low: int, high: int, batch_size: int) -> list[tuple[int, int]]:
    """Batches of as many whole groups as fit, at least one each."""
    batches = []
    while low < high:
        fits = int(np.searchsorted(bounds, low + batch_size, side="right")) - 1
        stop = max(int(bounds[fits]), int(bounds[np.searchsorted(bounds, low, side="right")]))
        batches.append((low, min(stop, high)))
        low = batches[-1][1]
    return batches
