"""How much a worker holds of a streamed table, and how it reads to keep to that: pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from trainwright.data.streaming.order import StreamOrder
from trainwright.data.table import Column

WINDOW_ROWS = 2**16
WINDOW_BYTES = 2**28
"""The default window: rows, or fewer where they would take more bytes than these."""

BLOCKS = 3
"""Windows in memory: the one in use, the next one, and what is gathered for it."""

READERS = 4
"""Row groups that are read at a time."""

COPIES = 3
"""A row group while it is read: its bytes in the file, as Arrow columns, and as tensors."""


def row_bytes(columns: Mapping[str, Column]) -> int:
    """Bytes of one sample in a batch."""
    return sum(c.dtype.itemsize * math.prod(c.shape) for c in columns.values())


def window_depth(columns: Mapping[str, Column], shards: int, window: int | None) -> int:
    """Rows of one shard that are shuffled with one another, at least 1.

    It depends on what the columns hold alone, and not on any machine's memory.

    Args:
        columns: of the table.
        shards: of the table.
        window: rows of all shards together; None for the default.
    """
    if window is None:
        window = min(WINDOW_ROWS, WINDOW_BYTES // row_bytes(columns))
    return max(window // shards, 1)


@dataclass(frozen=True)
class Plan:
    """How one worker reads.

    Attributes:
        whole: whether row groups are decoded whole and shared by the shards in them; else each
            shard steps through its own.
        size_bytes: an upper bound of what it holds of the table at a time.
    """

    whole: bool
    size_bytes: int


def plan(
    order: StreamOrder, world_size: int, row: int, budget: int, step_bytes: int | None
) -> Plan:
    """Decide how each worker reads.

    Args:
        order: of the table.
        world_size: number of workers.
        row: bytes of a row.
        budget: bytes that the row groups in use may take.
        step_bytes: what it takes to step through a row group; None where that is not possible.
    """
    shards, depth = order.shards // world_size, order.depth
    largest = max(order.sizes)
    blocks = BLOCKS * shards * depth * row
    # Without shuffling all workers read the same rows, each window at one place.
    places, rows = (shards, depth) if order.shuffle else (1, order.span)
    # A window may begin near the end of one group and end near the start of another.
    held = min(places * (rows + 2 * (largest - 1)), order.num_rows) * row
    reading = COPIES * min(READERS, len(order.sizes)) * largest * row
    whole = Plan(True, held + reading + blocks)
    if step_bytes is None or held <= budget:
        return whole
    steps = Plan(False, places * (step_bytes + COPIES * rows * row) + blocks)
    return min(whole, steps, key=lambda found: found.size_bytes)
