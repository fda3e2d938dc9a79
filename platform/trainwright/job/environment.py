"""``${NAME}`` in a job: only where machines differ, never in what decides the numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from trainwright.errors import Problem
from trainwright.suggest import nearest

_PLACES = re.compile(
    r"((base|variants\.[^.]+)\.)?"
    r"(storage|tracking\..+|data\.((validation|test|sources\.[^.]+)\.)?source)"
)
_ALLOWED = "storage, tracking.* and the sources under data"
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def variables_in(text: str) -> list[str]:
    """The environment variables that a text of a job names.

    Example:
        >>> variables_in("s3://${BUCKET}/$${x}/${RUNS}")
        ['BUCKET', 'RUNS']
    """
    return [match[1] for match in _VARIABLE.finditer(text) if match[2]]


def without_variables(text: str) -> str:
    """The text with nothing in the places of variables.

    Example:
        >>> without_variables("https://${USER}:${WORD}@host")
        'https://:@host'
    """
    return _VARIABLE.sub(lambda match: "" if match[2] else match[0], text)


def escaped(text: str) -> str:
    """What a job says for ``text``: no part of it is taken for a variable."""
    return text.replace("${", "$${")


def expand(values: Any, environ: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """Replace ``${NAME}`` by the environment variable; ``$${`` stands for a plain ``${``.

    Args:
        values: the whole job.
        environ: environment variables.

    Returns:
        The job with all variables replaced, and a problem for each that is not set, is badly
        written, or stands where none is allowed.
    """
    problems: list[Problem] = []
    return _expanded(values, "", environ, problems), problems


def _expanded(value: Any, path: str, environ: Mapping[str, str], problems: list[Problem]) -> Any:
    if isinstance(value, dict):
        return {
            key: _expanded(item, f"{path}.{key}" if path else key, environ, problems)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [
            _expanded(item, f"{path}.{index}", environ, problems)
            for index, item in enumerate(value)
        ]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        if match.group() == "$${":
            return "${"
        name, closed = match.groups()
        problem = _problem(path, value, name, bool(closed), environ)
        if problem is None:
            return environ[name]
        problems.append(problem)
        return match.group()

    return _VARIABLE.sub(replacement, value)


def _problem(
    path: str, value: str, name: str, closed: bool, environ: Mapping[str, str]
) -> Problem | None:
    plain = "write $${ for a plain ${"
    if not _PLACES.fullmatch(path):
        message = "environment variables are not replaced here"
        return Problem(path, message, value, allowed=f"${{...}} in {_ALLOWED}", mend=plain)
    if not closed or not _NAME.fullmatch(name):
        message = "is not of the form ${NAME}"
        return Problem(path, message, value, allowed="letters, digits and _", mend=plain)
    if name not in environ:
        message = f"the environment variable {name} is not set"
        return Problem(path, message, value, nearest=nearest(name, environ, cutoff=0.8))
    return None
