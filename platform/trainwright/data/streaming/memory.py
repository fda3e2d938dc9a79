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
"""Windows in memory: the one in use, the next one, and what is read from disk for it."""

READERS = 4
"""Row groups that are read at a time, as far as the memory for them allows."""

COPIES = 3
"""Of a row group while it is read, besides its bytes in the file: as Arrow columns, as tensors, and
while these are put in order."""


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
        in_memory: whether the row groups that its shards stand in are kept in memory, or on disk.
        num_readers: row groups that are read at a time.
        size_bytes: an upper bound of what it holds of the table in memory.
        disk_bytes: an upper bound of what it holds on disk.
    """

    in_memory: bool
    num_readers: int
    size_bytes: int
    disk_bytes: int


def plan(order: StreamOrder, world_size: int, row: int, file_bytes: int, budget: int) -> Plan:
    """Decide how each worker reads.

    Args:
        order: of the table.
        world_size: number of workers.
        row: bytes of a row.
        file_bytes: of the largest group in its file, unpacked.
        budget: bytes that the row groups in use may take in memory.
    """
    shards, depth = order.shards // world_size, order.depth
    # Without shuffling all workers read the same rows, each window at one place.
    places, rows = (shards, depth) if order.shuffle else (1, order.span)
    largest = max(order.sizes)
    # A window may begin near the end of one group and end near the start of another.
    kept = min(places * (rows + 2 * (largest - 1)), order.num_rows) * row
    one = file_bytes + COPIES * largest * row
    num_readers = max(min(READERS, len(order.sizes), budget // one), 1)
    passing = num_readers * one + BLOCKS * places * rows * row
    if kept <= budget:
        return Plan(True, num_readers, kept + passing, 0)
    return Plan(False, num_readers, passing, kept)
