"""Errors as people and programs read them."""

from __future__ import annotations

import contextlib
import re
import sys
import tempfile
import textwrap
import time
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text

from trainwright.errors import MISSING, Problem
from trainwright.secrets import mask

_DETAIL = re.compile(r"^    (got|allowed|nearest|mend): +(.*)$")
_FRAME = re.compile(r'^  File "(.+)", line (\d+), in (.+)$')
_INDENT = 13
_TRACE = "Traceback (most recent call last)"


def problem_to_json(problem: Problem) -> dict[str, Any]:
    """One problem as plain values; what was not given is null."""
    place = problem.location
    return {
        "path": problem.path,
        "message": problem.message,
        "got": None if problem.got is MISSING else _plain(problem.got),
        "allowed": problem.allowed,
        "nearest": problem.nearest,
        "mend": problem.mend,
        "file": place.file if place else None,
        "line": place.line if place and place.line else None,
    }


def refusal(problems: Iterable[Problem], width: int) -> Text:
    """All problems of a user's input, the details of each below it.

    Args:
        problems: what is wrong.
        width: columns; longer details are folded below their beginning.
    """
    return Text("\n").join(part for problem in problems for part in _told(problem, width))


def _told(problem: Problem, width: int) -> list[Text]:
    lines: list[Text] = []
    for line in str(problem).splitlines():
        match = _DETAIL.match(line)
        if match is None:
            lines.append(Text(line))
            continue
        label, value = match.groups()
        folded = textwrap.wrap(
            value, max(width - _INDENT, 20), break_long_words=False, break_on_hyphens=False
        )
        style = "bold green" if label == "nearest" else ""
        text = Text(f"\n{'':{_INDENT}}".join(folded), style=style)
        lines.append(Text.assemble((f"    {label + ':':<9}", "dim"), text))
    if problem.location:
        lines[0].stylize("bold", 0, len(str(problem.location)))
    return lines


def cause(message: str) -> tuple[str, str | None]:
    """The error in a failed worker's report, without its traceback, and the line it came from.

    The line is the innermost one that does not belong to a library.
    """
    text, _, trace = message.partition(_TRACE)
    lines = trace.splitlines()
    frames = [
        (match.group(1), match.group(2), match.group(3), _code_below(lines, index))
        for index, line in enumerate(lines)
        if (match := _FRAME.match(line))
    ]
    if not frames:
        return text.strip(), None
    own = [frame for frame in frames if not _is_library(frame[0])]
    file, line, function, code = (own or frames)[-1]
    return text.strip(), f"{file}:{line} in {function}{f': {code}' if code else ''}"


def write_traceback(error: BaseException, log: Path | None) -> Path:
    """Keep the traceback of a bug of ours; the file that holds it."""
    text = mask("".join(traceback.format_exception(type(error), error, error.__traceback__)))
    if log is not None and log.parent.is_dir():
        with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            return log
    name = f"trainwright-error-{time.strftime('%Y%m%d-%H%M%S')}-"
    with tempfile.NamedTemporaryFile(
        "w", prefix=name, suffix=".log", delete=False, encoding="utf-8"
    ) as kept:
        kept.write(f"{mask(' '.join(sys.argv))}\n{text}")
    return Path(kept.name)


def _code_below(lines: list[str], index: int) -> str:
    below = lines[index + 1] if index + 1 < len(lines) else ""
    return below.strip() if below.startswith("    ") else ""


def _is_library(file: str) -> bool:
    own = str(Path(__file__).resolve().parents[1])
    return "site-packages" in file or file.startswith((own, sys.base_prefix, "<"))


def _plain(value: Any) -> Any:
    """A value that came from a job as it was written there; anything else as text."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    return str(value)
