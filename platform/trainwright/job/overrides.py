"""``-s a.b=value``: single values of a job changed from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trainwright.errors import JobError, Location, Problem
from trainwright.job.merging import EXTENDS
from trainwright.job.shorthand import written_out
from trainwright.job.yaml_reader import Parsed, no_text, read_value

_FORM = "{0} section.key=value, with a number for the entry of a list: {0} section.0.key=value"


class _RefusedError(Exception):
    """An override leads nowhere."""

    def __init__(self, path: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.path = path
        self.details = details


def apply_overrides(parsed: Parsed, overrides: Iterable[str], option: str = "-s") -> Parsed:
    """The job with all ``overrides`` made, one after the other.

    Args:
        parsed: the job as read.
        overrides: each of the form ``a.b=value``, the value in YAML.
        option: of the command line, by which they were given.

    Raises:
        JobError: an override has another form, its value is not YAML, or its path leads through
            a single value or past the end of a list.
    """
    problems: list[Problem] = []
    for text in overrides:
        try:
            parsed = _applied(parsed, text, option)
        except JobError as error:
            problems += error.problems
    if problems:
        raise JobError(problems)
    return parsed


def _applied(parsed: Parsed, text: str, option: str) -> Parsed:
    place = f"{option} {text}"
    location = Location(place)
    path, sign, written = text.partition("=")
    path = path.strip()
    keys = path.split(".")
    if not sign or not all(keys):
        message = "an override needs a path, '=' and a value"
        raise JobError(Problem("", message, text, allowed=_FORM.format(option), location=location))
    if (odd := no_text(path)) is not None:
        raise JobError(Problem(path, odd, location=location))
    if keys[0] == EXTENDS:
        message = "cannot be given on the command line"
        raise JobError(Problem(path, message, mend="write it into the file", location=location))
    return changed(parsed, path, read_value(written, place), location)


def changed(parsed: Parsed, path: str, value: Any, location: Location) -> Parsed:
    """A job with the value at one dotted path changed.

    Args:
        parsed: the job.
        path: ``a.b``, with a number for the entry of a list; sections on the way are made.
        value: the new value.
        location: where it was written.

    Raises:
        JobError: the path leads through a single value or past the end of a list.
    """
    keys = _keys(parsed.values, path)
    try:
        values = _set(parsed.values, keys, 0, value)
    except _RefusedError as error:
        problem = Problem(error.path, str(error), location=location, **error.details)
        raise JobError(problem) from None
    kept = {p: at for p, at in parsed.locations.items() if p != path and not _inside(p, path)}
    return Parsed(values, {**kept, **_new_places(parsed, keys, value, location)})


def _keys(values: Any, path: str) -> list[str]:
    """The keys of a path; a key with dots, as variants and spaces have them, stays whole."""
    parts, keys = path.split("."), list[str]()
    while parts:
        joined = (".".join(parts[:stop]) for stop in range(len(parts), 1, -1))
        whole = next((k for k in joined if isinstance(values, dict) and k in values), parts[0])
        keys.append(whole)
        parts = parts[whole.count(".") + 1 :]
        values = values.get(whole) if isinstance(values, dict) else None
    return keys


def _inside(path: str, outer: str) -> bool:
    return path.startswith(f"{outer}.")


def _new_places(
    parsed: Parsed, keys: list[str], value: Any, location: Location
) -> dict[str, Location]:
    """Places of the value, of all inside it, and of the sections made to hold it."""
    path = ".".join(keys)
    outer = [".".join(keys[:stop]) for stop in range(1, len(keys))]
    made = [section for section in outer if section not in parsed.locations]
    return dict.fromkeys([*made, path, *_paths(value, path)], location)


def _paths(value: Any, path: str) -> list[str]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    found = []
    for key, item in items:
        inner = f"{path}.{key}"
        found += [inner, *_paths(item, inner)]
    return found


def _set(current: Any, keys: list[str], depth: int, value: Any) -> Any:
    """A copy of ``current`` with ``value`` at ``keys[depth:]``."""
    if depth == len(keys):
        return value
    path = ".".join(keys[:depth])
    current = {} if current is None else written_out(path, current)
    if isinstance(current, list):
        index = _index(current, keys, depth)
        changed = _set(current[index], keys, depth + 1, value)
        return [*current[:index], changed, *current[index + 1 :]]
    if not isinstance(current, dict):
        message = f"is a single value and has no {keys[depth]!r} inside it"
        raise _RefusedError(path, message, got=current)
    inner = current.get(keys[depth])
    return {**current, keys[depth]: _set(inner, keys, depth + 1, value)}


def _index(items: list[Any], keys: list[str], depth: int) -> int:
    path, key = ".".join(keys[:depth]), keys[depth]
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    allowed = f"{path}.0 to {path}.{len(items) - 1}" if len(items) > 1 else f"{path}.0"
    if not items:
        raise _RefusedError(f"{path}.{key}", f"{path} is an empty list", mend=f"-s {path}=[...]")
    count = f"{len(items)} {'entries' if len(items) > 1 else 'entry'}"
    if not key.isdecimal():
        message = f"{path} is a list of {count}, chosen by number, and {key!r} is none"
        raise _RefusedError(f"{path}.{key}", message, allowed=allowed)
    raise _RefusedError(f"{path}.{key}", f"{path} has only {count}", allowed=allowed)
