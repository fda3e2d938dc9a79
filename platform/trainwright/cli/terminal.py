"""Standard output for results, standard error for everything else."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.text import Text

WIDTH_OF_A_PIPE = 240
"""Columns where no terminal sets a limit: lines in a file are not folded."""


def console(stream: TextIO) -> Console:
    """A console on ``stream``: colours and folding only where it is a terminal."""
    is_terminal = stream.isatty()
    width = None if is_terminal or "COLUMNS" in os.environ else WIDTH_OF_A_PIPE
    return Console(file=stream, width=width, highlight=False, emoji=False)


def folded(console: Console, text: Text, indent: int = 2) -> Text:
    """``text`` folded at the console's width with every line indented, nothing behind the lines."""
    lines = text.wrap(console, max(console.width - indent, 20))
    margin = Text(" " * indent)
    for line in lines:
        line.rstrip()
    return Text("\n").join(margin + line if line.plain else line for line in lines)


@contextlib.contextmanager
def lasting(stream: TextIO, descriptor: int) -> Iterator[TextIO]:
    """The stream as it is now, also while file descriptors are turned to a log.

    Args:
        stream: ``sys.stdout`` or ``sys.stderr``; one that a test or a notebook has put in its
            place is handed back as it is.
        descriptor: 1 or 2.
    """
    if _descriptor_of(stream) != descriptor:
        yield stream
        return
    stream.flush()
    with os.fdopen(os.dup(descriptor), "w", encoding=stream.encoding, errors="replace") as copy:
        yield copy


@contextlib.contextmanager
def reserved_output() -> Iterator[TextIO]:
    """Standard output for one JSON object: what anything else prints goes to standard error."""
    with lasting(sys.stdout, 1) as kept:
        turned = _descriptor_of(sys.stdout) == 1
        if turned:
            os.dup2(2, 1)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                yield kept
        finally:
            if turned:
                sys.stdout.flush()
                os.dup2(kept.fileno(), 1)


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):  # a stream in memory has none
        return None
