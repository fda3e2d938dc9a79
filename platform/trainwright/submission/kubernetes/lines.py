"""The lines of a job's log: none twice, however often the same ones are read again."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator

_CLI = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\s(?P<level>[A-Z]+) cli\.py:\d+ -- (?P<text>.*)", re.DOTALL
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_WAITS = "Waiting for Ray Dashboard GCS to become healthy at "
_OUTCOME = re.compile(r"-+|Job '.*' (?:failed|was stopped)")
_REPEATS = "Status message: Job entrypoint command failed"
_AHEAD = 64
_STRANGE = 5
"""So many lines in a row that were not shown before are those of another log."""


class Window:
    """Which lines of one container have been read, over connections that are made again.

    Only seconds can be asked for, so that lines of the last ones come again.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[str, bytes]] = deque()
        self._again: Counter[bytes] = Counter()
        self._newest = ""

    @property
    def since(self) -> str:
        """From when to read on, as a parameter; empty: from the beginning."""
        return f"{self._recent[0][0]}Z" if self._recent else ""

    def begin(self) -> None:
        """A new connection is made, from ``since``."""
        self._again = Counter(line for _, line in self._recent)

    def text(self, line: bytes) -> str | None:
        """A line that was read, without its time; None if it was read before.

        Args:
            line: with its time before it, in nanoseconds.
        """
        if self._again[line] > 0:
            self._again[line] -= 1
            return None
        stamp, _, rest = line.partition(b" ")
        second = stamp[:19].decode(errors="replace")
        if second > self._newest:
            # Lines of a second, and of the next, may be a little out of order.
            oldest, self._newest = self._newest, second
            while self._recent and self._recent[0][0] < oldest:
                self._recent.popleft()
        self._recent.append((second, line))
        return rest.decode(errors="replace").rstrip("\r")


class Attempt:
    """The log of one attempt, which each of its submitters prints from the beginning."""

    def __init__(self) -> None:
        self._shown: list[int] = []

    def reader(self) -> Reader:
        """For the lines of another submitter."""
        return Reader(self._shown)


class Reader:
    """The lines of one submitter, without its own words and what another has printed before.

    Args:
        shown: hashes of the lines of the attempt that were shown; what is new is added.
    """

    def __init__(self, shown: list[int]) -> None:
        self._shown = shown
        self._before = len(shown)
        self._at = 0
        self._strange = 0
        self._is_over = False

    def new(self, text: str) -> Iterator[str]:
        """The line if it is the job's and was not shown; perhaps in other words."""
        told = self._told(text)
        if told is None:
            return
        key = hash(told)
        end = min(self._before, self._at + _AHEAD)
        for place in range(self._at, end):
            if self._shown[place] == key:
                self._at, self._strange = place + 1, 0
                return
        self._strange += 1
        if self._strange == _STRANGE:
            self._at = self._before
        self._shown.append(key)
        yield told

    def _told(self, text: str) -> str | None:
        """What the submitter's line says of the job; None: nothing."""
        if self._is_over:
            return None
        if text.startswith(_WAITS):
            return None
        match = _CLI.fullmatch(text)
        if match is None:
            return text
        words = _COLOURS.sub("", match["text"])
        if words.startswith(_REPEATS):
            self._is_over = True  # what follows is the end of the log once more
            return None
        if words.startswith("Status message: "):
            return words
        is_its_own = match["level"] in ("INFO", "SUCC") or _OUTCOME.fullmatch(words)
        return None if is_its_own else words
