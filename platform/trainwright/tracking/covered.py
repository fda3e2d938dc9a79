"""Sets of byte ranges: which parts of a journal file the tracking server already holds."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class Ranges:
    """Disjoint, sorted half-open ranges [start, stop); touching ones are joined."""

    def __init__(self, ranges: Iterable[Iterable[int]] = ()) -> None:
        self._ranges: list[tuple[int, int]] = []
        for start, stop in ranges:
            self.add(start, stop)

    def add(self, start: int, stop: int) -> None:
        """Include [start, stop)."""
        before = [r for r in self._ranges if r[1] < start]
        after = [r for r in self._ranges if r[0] > stop]
        for low, high in self._ranges[len(before) : len(self._ranges) - len(after)]:
            start, stop = min(start, low), max(stop, high)
        self._ranges = [*before, (start, stop), *after]

    def stop_at(self, position: int) -> int:
        """The end of the range that holds ``position``; ``position`` itself outside of all."""
        index = bisect_right(self._ranges, (position, float("inf"))) - 1
        if index >= 0 and self._ranges[index][1] > position:
            return self._ranges[index][1]
        return position

    def to_lists(self) -> list[list[int]]:
        """The ranges as lists, for JSON."""
        return [list(pair) for pair in self._ranges]

    def __contains__(self, position: int) -> bool:
        return self.stop_at(position) > position

    def __bool__(self) -> bool:
        return bool(self._ranges)
