"""Errors on demand: what the next requests of some kind get."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from kube.errors import ApiError
from kube.requests import Request
from kube.streams import Stream


@dataclass(frozen=True)
class Close:
    """The connection closes without an answer. The official client tries a GET three times more."""


@dataclass(frozen=True)
class Hang:
    """The answer comes late.

    Attributes:
        seconds: how late.
    """

    seconds: float


@dataclass(frozen=True)
class Cut:
    """The answer breaks off in the middle.

    Attributes:
        after_lines: of a stream: events of a watch, lines of a log.
        after_bytes: of the body.
        clean: the stream ends in order, as if the server were about to stop.
        error: an event of a watch that says this comes before the end.
    """

    after_lines: int | None = None
    after_bytes: int | None = None
    clean: bool = False
    error: ApiError | None = None

    def stream(self, stream: Stream) -> Iterator[bytes | None]:
        """The pieces of a stream up to where it breaks off."""
        lines, size = 0, 0
        for piece in stream.pieces:
            if lines == self.after_lines or self.after_bytes == size:
                break
            if piece is not None:
                lines += 1
                if self.after_bytes is not None:
                    piece = piece[: self.after_bytes - size]
                size += len(piece)
            yield piece
        stream.ending = "ended" if self.clean or self.error else "cut"


Fault = ApiError | Close | Hang | Cut


@dataclass
class Rule:
    """A fault, and which requests get it.

    Attributes:
        fault: what they get.
        wanted: field of a request -> the value it must have.
        left: how many more get it.
    """

    fault: Fault
    wanted: dict[str, str] = field(default_factory=dict)
    left: int = 1

    def matches(self, request: Request) -> bool:
        """Whether a request is one of those."""
        return self.left > 0 and all(
            getattr(request, name) == value for name, value in self.wanted.items()
        )


class Faults:
    """The faults that wait for their requests; the oldest that matches is taken first."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def add(self, rule: Rule) -> None:
        """Another fault."""
        self._rules.append(rule)

    def clear(self) -> None:
        """No more faults."""
        self._rules = []

    def take(self, request: Request) -> Fault | None:
        """The fault of a request, if it gets one."""
        for rule in self._rules:
            if rule.matches(request):
                rule.left -= 1
                return rule.fault
        return None
