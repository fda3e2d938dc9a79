"""Answers that go on: they can be ended from elsewhere, and notice that nobody listens."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from kube.requests import Request

Ending = Literal["ended", "cut"]
"""``ended`` as a server does it in order, ``cut`` as a network does it, in mid-stream."""


@dataclass
class Stream:
    """An open stream.

    Attributes:
        request: what it answers.
        ending: set by whoever ends it.
        bookmark: set by whoever wants a watch to send a bookmark.
        pieces: bytes to send; None says that nothing has happened for a moment.
    """

    request: Request
    ending: Ending | None = None
    bookmark: bool = False
    pieces: Iterator[bytes | None] = field(default=iter(()), repr=False)


class Streams:
    """The streams that are open, guarded by the store's lock."""

    def __init__(self) -> None:
        self._open: list[Stream] = []

    def add(self, stream: Stream) -> None:
        """Another is open."""
        self._open.append(stream)

    def remove(self, stream: Stream) -> None:
        """One is closed."""
        self._open.remove(stream)

    def of(self, verb: str, resource: str | None = None) -> list[Stream]:
        """Those open for a verb (``watch``; ``get`` for logs), and a resource if one is named."""
        return [
            stream
            for stream in self._open
            if stream.request.verb == verb
            and resource in (None, stream.request.plural, stream.request.resource)
        ]

    def end(self, chosen: list[Stream], ending: Ending) -> None:
        """End some."""
        for stream in chosen:
            stream.ending = ending
