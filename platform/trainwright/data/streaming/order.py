"""The order of a streamed table: a pure function of its row groups, the seed and the epoch.

The groups, put in an order by a hash, are laid end to end in a ring and cut into ``shards``
contiguous pieces from a place on that is hashed too: else tables of few groups would be cut in the
same places in every epoch. Position p of the epoch belongs to shard ``p % shards`` and is its
``p // shards``-th row. Inside a shard, rows are permuted by a hash within windows of ``depth``
rows. Window w of all shards together covers the positions from ``w * depth * shards`` on, so that
an epoch is made, and can be entered, window by window.

Worker r of W, where W divides the shards, takes the positions ``p % W == r``: whole shards. What
is at a position, and hence what is in an update, does not depend on W.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from trainwright.data.hashes import Ints, hashes, sorting
from trainwright.data.random import key


@dataclass(frozen=True)
class Run:
    """Rows of one group that follow one another.

    Attributes:
        group: index of the group in the table.
        start: first row, counted inside the group.
        stop: after the last row.
    """

    group: int
    start: int
    stop: int


@dataclass(frozen=True)
class Window:
    """What a worker needs of one window.

    Attributes:
        runs: the rows to read, shard after shard.
        order: which of these rows comes when, in the order of the worker's positions.
    """

    runs: list[Run]
    order: Ints


@dataclass(frozen=True, eq=False)
class StreamOrder:
    """The order of every epoch of a table.

    Attributes:
        sizes: rows of each group, in the table's order, each at least 1.
        shards: pieces that are read side by side.
        depth: rows of one shard that are shuffled with one another.
        seed: the job's seed.
        shuffle: False keeps the table's own order: position p is row p.
    """

    sizes: tuple[int, ...]
    shards: int
    depth: int
    seed: int
    shuffle: bool = True

    @cached_property
    def num_rows(self) -> int:
        """Rows of the table."""
        return sum(self.sizes)

    @cached_property
    def num_windows(self) -> int:
        """Windows of an epoch."""
        return -(-self.num_rows // self.span)

    @property
    def span(self) -> int:
        """Positions of a window; the last one of an epoch may have fewer."""
        return self.shards * self.depth

    def window(self, epoch: int, number: int, rank: int = 0, world_size: int = 1) -> Window:
        """The part of a window that worker ``rank`` computes.

        Args:
            epoch: counted from 0.
            number: of the window, less than ``num_windows``.
            rank: of the worker.
            world_size: number of workers; must divide ``shards``.
        """
        if not self.shuffle:
            return self._plain_window(number, rank, world_size)
        lines, counts = self._lines(np.arange(rank, self.shards, world_size), epoch, number)
        groups, offsets = self._laid(epoch)
        ends = np.cumsum(self._sizes[groups])
        runs = []
        for line, count in zip(lines, counts.tolist(), strict=True):
            at = 0
            for run, place in self._runs(groups, ends, int(line[0]), count) if count else ():
                line[at : at + run.stop - run.start] += offsets[place]
                at += run.stop - run.start
                runs.append(run)
        drawn = hashes(key(self.seed, "window", epoch), lines.ravel()).reshape(lines.shape)
        # Rows that a shard does not have any more come last. No two others have the same hash,
        # which is a bijection: any way of sorting gives the same.
        drawn[counts < lines.shape[1], -1:] = np.iinfo(np.int64).max
        order = sorting(drawn) + (np.cumsum(counts) - counts)[:, None]
        return Window(runs, order.T.ravel()[: counts.sum()])

    def rows(self, epoch: int, start: int, stop: int) -> Ints:
        """The rows at the positions ``start <= p < stop``."""
        parts = []
        for number in range(start // self.span, -(-stop // self.span)):
            first = number * self.span
            window = self._window_rows(epoch, number)
            parts.append(window[max(start - first, 0) : stop - first])
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    @cached_property
    def _sizes(self) -> Ints:
        return np.asarray(self.sizes, dtype=np.int64)

    @cached_property
    def _window_rows(self) -> Callable[[int, int], Ints]:
        """The rows of whole windows, the last few kept."""
        firsts = np.cumsum(self._sizes) - self._sizes

        @lru_cache(maxsize=2)
        def rows(epoch: int, number: int) -> Ints:
            window = self.window(epoch, number)
            read = [firsts[run.group] + np.arange(run.start, run.stop) for run in window.runs]
            return np.concatenate(read)[window.order]

        return rows

    def _plain_window(self, number: int, rank: int, world_size: int) -> Window:
        start = number * self.span
        count = min(self.span, self.num_rows - start)
        groups = np.arange(len(self.sizes))
        runs = self._runs(groups, np.cumsum(self._sizes), start, count)
        return Window([run for run, _ in runs], np.arange(rank, count, world_size))

    def _laid(self, epoch: int) -> tuple[Ints, Ints]:
        """The groups in the epoch's order, and for each what turns a place into a row."""
        groups = np.arange(len(self.sizes))
        groups = np.argsort(hashes(key(self.seed, "groups", epoch), groups))
        first_rows = np.cumsum(self._sizes) - self._sizes
        first_lines = np.cumsum(self._sizes[groups]) - self._sizes[groups]
        return groups, first_rows[groups] - first_lines

    def _lines(self, shards: Ints, epoch: int, number: int) -> tuple[Ints, Ints]:
        """Places in the ring of groups, one row for each shard, and how many of them there are.

        Shards have as many rows as others or one less: at most the last place is none.
        """
        share, rest = divmod(self.num_rows, self.shards)
        starts = shards * share + np.minimum(shards, rest)
        lengths = share + (shards < rest)
        first = number * self.depth
        counts = np.clip(lengths - first, 0, self.depth)
        inside = np.arange(first, first + counts.max())
        turn = key(self.seed, "turn", epoch) % self.num_rows
        return (turn + starts[:, None] + inside) % self.num_rows, counts

    def _runs(self, groups: Ints, ends: Ints, start: int, count: int) -> list[tuple[Run, int]]:
        """Where ``count`` places in the ring lie, each run with its group's place in the ring."""
        runs = []
        while count:
            place = int(np.searchsorted(ends, start, side="right"))
            size = self.sizes[groups[place]]
            first = start - (int(ends[place]) - size)
            length = min(size - first, count)
            runs.append((Run(int(groups[place]), first, first + length), place))
            start, count = (start + length) % self.num_rows, count - length
        return runs
