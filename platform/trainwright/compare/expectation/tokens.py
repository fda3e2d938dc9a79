"""An ``expect:`` line cut into words, numbers and signs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    r"""
    (?P<number>(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?)
    |(?P<word>('[^']+'|[A-Za-z_][\w.]*(/[\w.]+)*)(@\w*)?)
    |(?P<sign><=|>=|[<>+\-*/(),])
    """,
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*")

Form = Literal["number", "word", "sign", "end"]


class ExpectationError(ValueError):
    """A line that cannot be understood.

    Attributes:
        message: what is wrong and where.
        got: the part of the line that is wrong.
        allowed: what could stand there.
        nearest: the closest allowed spelling.
    """

    def __init__(
        self, message: str, got: str, allowed: str | None = None, nearest: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.allowed = allowed
        self.nearest = nearest


@dataclass(frozen=True)
class Token:
    """A word, number or sign; the end of the line is one too, with an empty text."""

    form: Form
    text: str
    start: int


def tokens_of(line: str) -> list[Token]:
    """The tokens of a line, the end included.

    Raises:
        ExpectationError: a character that means nothing here.
    """
    found: list[Token] = []
    position = _after_space(line, 0)
    while position < len(line):
        match = _TOKEN.match(line, position)
        if match is None or match.lastgroup is None:
            raise _stranger(line, position)
        form: Form = "sign"
        if match["number"] is not None:
            form = "number"
        elif match["word"] is not None:
            form = "word"
        found.append(Token(form, match.group(), position))
        position = _after_space(line, match.end())
    return [*found, Token("end", "", len(line))]


def _after_space(line: str, position: int) -> int:
    match = _SPACE.match(line, position)
    return match.end() if match else position


def _stranger(line: str, position: int) -> ExpectationError:
    character = line[position]
    if character in "=!":
        message = "measured numbers are hardly ever equal, so that there is no comparison with '='"
        return ExpectationError(message, line[position:], "<, <=, >, >=, or abs(a - b) < 0.01")
    return ExpectationError(f"{character!r} means nothing here", line[position:])
