"""YAML's syntax errors in plain words, with the line to look at."""

from __future__ import annotations

import yaml
from yaml.reader import ReaderError

from trainwright.errors import Location, Problem

_QUOTE = "put the value into quotes"
_PLAIN: tuple[tuple[str, str, str | None], ...] = (
    (r"found character '\t'", "a tab is used for indentation", "indent with spaces"),
    (
        "mapping values are not allowed",
        "there is a ': ' where no key can stand",
        "check the indentation of this line and the one above, or put the value into quotes",
    ),
    (
        "could not find expected ':'",
        "a key without its ':', or a text that ends too early",
        "write 'key: value', with a space after the colon",
    ),
    (
        "expected <block end>",
        "the indentation does not fit the lines above",
        "give keys of one section the same indentation; list items begin with '- '",
    ),
    ("expected ',' or", "a bracket is not closed, or a comma is missing", None),
    ("expected the node content", "a value is missing between brackets", None),
    ("found unexpected end of stream", "a quote is not closed", None),
    ("found unknown escape character", "a backslash inside double quotes", "use single quotes"),
    ("found undefined alias", "an alias (*name) has no anchor (&name) above it", _QUOTE),
    ("expected alphabetic or numeric", "a value begins with * or &", _QUOTE),
    ("expected a single document", "the file holds more than one document ('---')", None),
    ("that cannot start any token", "a value begins with a sign that YAML reserves", _QUOTE),
    (
        "expected '<document start>'",
        "this line does not belong to what stands above it",
        "give all keys of the job the same indentation",
    ),
    (
        "sequence entries are not allowed",
        "a list item ('- ') stands where no list can begin",
        "put the item on a line of its own, indented like the others",
    ),
    ("found duplicate anchor", "the same anchor (&name) is used twice", None),
)


def yaml_problem(error: yaml.YAMLError, text: str, file: str) -> Problem:
    """The problem that a YAML syntax error stands for.

    Args:
        error: as raised by PyYAML.
        text: what was read.
        file: its name.
    """
    if isinstance(error, ReaderError):
        line = text.count("\n", 0, error.position) + 1
        message = f"there is a character that YAML does not allow (U+{int(error.character):04X})"
        return Problem("", message, location=Location(file, line))
    words = getattr(error, "problem", None) or str(error)
    context = getattr(error, "context", None) or ""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    location = Location(file, mark.line + 1 if mark else 0)
    for pattern, message, mend in _PLAIN:
        if pattern in words or pattern in context:
            return Problem("", f"not valid YAML: {message}", mend=mend, location=location)
    return Problem("", f"not valid YAML: {words}", location=location)
