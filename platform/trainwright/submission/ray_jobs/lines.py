"""Whole lines out of a text that arrives in pieces, and again from its beginning."""

from __future__ import annotations


class Lines:
    r"""Hands out each line of a growing text once.

    Ray gives a log from its beginning whenever it is asked, in pieces that end anywhere.

    Example:
        >>> lines = Lines()
        >>> lines.take("one\ntw")
        ['one']
        >>> lines.restart()
        >>> lines.take("one\ntwo\n")
        ['two']
    """

    def __init__(self) -> None:
        self._seen = 0
        self._at = 0
        self._rest = ""

    def restart(self) -> None:
        """The text comes from its beginning again."""
        self._at = 0

    def take(self, piece: str) -> list[str]:
        """The lines that end in the next piece and were not handed out, without their ends."""
        new = piece[max(0, self._seen - self._at) :]
        self._at += len(piece)
        self._seen = max(self._seen, self._at)
        *whole, self._rest = (self._rest + new).split("\n")
        return whole

    def end(self) -> list[str]:
        """What stands behind the last line's end, as a line of its own."""
        rest, self._rest = self._rest, ""
        return [rest] if rest else []
