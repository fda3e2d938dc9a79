"""Holding row groups of a streamed table out for evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from trainwright.data.hashes import Ints
from trainwright.data.random import bits, key
from trainwright.data.rows import Rows
from trainwright.data.streaming.table import StreamedTable
from trainwright.errors import DataError, Problem
from trainwright.job.models import HeldOut

TOLERANCE = 0.5
"""How far a split may be from the share that was asked for, in parts of that share."""


def split_groups(
    table: Rows, wanted: Mapping[str, HeldOut]
) -> tuple[StreamedTable, dict[str, StreamedTable]]:
    """The training split of a streamed table, and those held out of it, by whole row groups.

    Args:
        table: a streamed one.
        wanted: name of the split -> what share of the samples.

    Raises:
        DataError: the row groups are too few or too large for such a share.
    """
    assert isinstance(table, StreamedTable)
    left = np.arange(len(table.groups))
    held = {}
    for name, split in wanted.items():
        assert split.fraction is not None
        sizes = np.asarray([table.groups[place].rows for place in left])
        chosen = held_out_groups(left, sizes, split.fraction * len(table), split.seed)
        if chosen is None:
            raise DataError(_too_few(name, split.fraction, table))
        held[name] = table.of_groups(chosen.tolist())
        left = np.setdiff1d(left, chosen)
    return (table.of_groups(left.tolist()) if held else table), held


def held_out_groups(groups: Ints, sizes: Ints, num_rows: float, seed: int) -> Ints | None:
    """Choose groups of about ``num_rows`` rows in all, in the order of a hash of (seed, group).

    Args:
        groups: numbers of the groups to choose from.
        sizes: rows of each.
        num_rows: how many rows.
        seed: decides the choice.

    Returns:
        The chosen groups, ascending; None where no choice comes near, or nothing would be left.
    """
    order = np.argsort(bits(key("held-out groups", seed), torch.from_numpy(groups)).numpy())
    rows = np.cumsum(sizes[order])[:-1]
    if not len(rows):
        return None
    number = int(np.argmin(np.abs(rows - num_rows)))
    if abs(int(rows[number]) - num_rows) > TOLERANCE * num_rows:
        return None
    return np.sort(groups[order[: number + 1]])


def _too_few(name: str, fraction: float, table: StreamedTable) -> Problem:
    largest = max(group.rows for group in table.groups)
    return Problem(
        f"data.{name}.fraction",
        f"whole row groups are held out of a streamed source, and its {len(table.groups)} row "
        f"groups of up to {largest} rows do not give about that share of {len(table)} rows",
        fraction,
        mend=f"give the split a source of its own, data.{name}: {{source: ...}}, or write the "
        "files with smaller row groups (pyarrow: row_group_size)",
    )
