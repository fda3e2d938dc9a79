"""What pydantic finds wrong with a job, told as problems that a user can mend."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from trainwright.durations import Duration
from trainwright.errors import MISSING, Problem
from trainwright.job.fields import (
    allowed_at,
    keys_of,
    names_of,
    nearest_key,
    section_at,
    spellings,
    type_at,
    words,
)
from trainwright.job.models import PluginSpec, TrainJob
from trainwright.suggest import nearest, one_of

Loc = tuple[str | int, ...]

_EMPTY: tuple[Any, ...] = (None, "", [], {})

_WORDS = {
    "missing": "is missing",
    "literal_error": "is none of the allowed values",
    "finite_number": "must be a finite number",
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "too_short": "has too few entries",
    "too_long": "has too many entries",
    "string_pattern_mismatch": "has another form than is allowed here",
}
"""Kind of pydantic error -> what is wrong; every other kind is a value of the wrong type."""


def problems_of(
    error: ValidationError,
    values: Mapping[str, Any],
    root: type[BaseModel] = TrainJob,
    prefix: str = "",
) -> list[Problem]:
    """One problem for each mistake.

    Args:
        error: as raised for ``values``.
        values: what was validated, as the user wrote it.
        root: the model it was validated against.
        prefix: dotted path of ``values`` in the job, if it is a part of it.
    """
    found: dict[Loc, Problem] = {}
    mistyped: set[Loc] = set()
    for detail in error.errors(include_url=False):
        loc = _written_loc(detail, values, root)
        found.setdefault(loc, _problem(detail, loc, values, root))
        if detail["type"].endswith("_type"):
            mistyped.add(loc)
    for loc in mistyped:
        # Of several forms that a section may have, one was right as far as the mistakes inside.
        if any(len(other) > len(loc) and other[: len(loc)] == loc for other in found):
            del found[loc]
    merged = _without_consequences(list(found.values()))
    return [_prefixed(problem, prefix) for problem in merged]


def _written_loc(detail: ErrorDetails, values: Mapping[str, Any], root: type[BaseModel]) -> Loc:
    """The place as the user wrote it, without pydantic's names for members of unions.

    It ends at a single value: what is wrong with a short form is wrong with the whole of it.
    """
    place: list[str | int] = []
    current: Any = values
    for depth, key in enumerate(detail["loc"]):
        is_last = depth == len(detail["loc"]) - 1
        if _has(current, key):
            current = current[key]
        elif not (is_last and detail["type"] == "missing" and isinstance(current, Mapping)):
            continue
        place.append(key)
    return tuple(place)


def _has(values: Any, key: str | int) -> bool:
    if isinstance(values, list):
        return isinstance(key, int) and key < len(values)
    return isinstance(values, Mapping) and key in values


def _problem(
    detail: ErrorDetails, loc: Loc, values: Mapping[str, Any], root: type[BaseModel]
) -> Problem:
    path = ".".join(str(key) for key in loc)
    if detail["type"] == "extra_forbidden":
        return _unknown_key(loc, values, root)
    if detail["type"] == "missing":
        return _missing_key(loc, values, root)
    if detail["loc"][-1] == "[key]":
        return _wrong_key(path, loc, root)
    got = _value_at(values, loc)
    if detail["type"] == "value_error":
        # What stands in a section may be secret, and only a part of it is wrong.
        shown = MISSING if isinstance(got, (Mapping, list)) else got
        return Problem(path, str(detail["ctx"]["error"]), shown)
    if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
        return _unknown_name(path, got, names_of(type_at(loc, root)))
    annotation = type_at(loc, root)
    if annotation is Duration:
        message = detail["msg"].partition(";")[0]
        form = "a number and a unit, epochs or steps: '200 steps', '1 epoch', '0.5 epochs'"
        return Problem(path, message, got, allowed=form, nearest=_nearest_duration(got))
    return Problem(
        path,
        "is empty" if got in _EMPTY else _WORDS.get(detail["type"], "is of the wrong type"),
        got,
        allowed=allowed_at(loc, root),
        nearest=nearest(got, [*spellings(annotation), *_OTHER_SPELLINGS.get(path, ())]),
        mend=_mend(detail["type"], got),
    )


def _wrong_key(path: str, loc: Loc, root: type[BaseModel]) -> Problem:
    """A key that is the user's own, of another form than keys have there."""
    allowed = words(get_args(type_at(loc[:-1], root))[0])
    return Problem(path, f"the key {_WORDS['string_pattern_mismatch']}", loc[-1], allowed=allowed)


def _unknown_name(path: str, got: Any, names: list[str]) -> Problem:
    """A section whose name says which form it has, and that says none of them."""
    is_section = isinstance(got, Mapping)
    place, name = (f"{path}.name", got.get("name")) if is_section else (path, got)
    if is_section and "name" not in got:
        return Problem(place, _WORDS["missing"], allowed=one_of(names))
    message = _WORDS["literal_error"] if isinstance(name, str) else "is of the wrong type"
    return Problem(place, message, name, allowed=one_of(names), nearest=nearest(name, names))


_OTHER_SPELLINGS = {"cluster.address": ("local", "auto")}


def _unknown_key(loc: Loc, values: Mapping[str, Any], root: type[BaseModel]) -> Problem:
    *section, key = loc
    path = ".".join(str(part) for part in section)
    written = _value_at(values, section)
    form = written.get("name") if isinstance(written, Mapping) else None
    keys = keys_of(section_at(section, root, form))
    closest = nearest_key(str(key), path, root, form)
    mend = None
    if closest is not None and closest not in keys:
        mend = f"it is written {closest} in a job"
    return Problem(
        f"{path}.{key}" if path else str(key),
        f"there is no key {key!r} {'in ' + path if path else 'here'}",
        allowed=one_of(keys, limit=20),
        nearest=closest,
        mend=mend,
    )


def _missing_key(loc: Loc, values: Mapping[str, Any], root: type[BaseModel]) -> Problem:
    """A key that is not there; for the name of a plugin, the key that was meant to be it."""
    *section, key = loc
    path = ".".join(str(part) for part in section)
    model = section_at(section, root)
    if issubclass(model, PluginSpec) and key == "name":
        written = _value_at(values, tuple(section))
        slips = [k for k in written if k not in keys_of(model) and nearest(k, [key]) is not None]
        if slips:
            message = f"there is no key {slips[0]!r} here, and the name of the plugin is missing"
            return Problem(f"{path}.{slips[0]}", message, nearest="name")
    allowed = allowed_at(loc, root)
    return Problem(f"{path}.{key}" if path else str(key), _WORDS["missing"], allowed=allowed)


def _without_consequences(problems: list[Problem]) -> list[Problem]:
    """Leaves out a missing key where a key beside it is that key misspelt."""
    meant = {_sibling(p.path, p.nearest) for p in problems if p.got is MISSING and p.nearest}
    return [p for p in problems if p.path not in meant or p.message != _WORDS["missing"]]


def _sibling(path: str, key: str) -> str:
    section = path.rpartition(".")[0]
    return f"{section}.{key}" if section else key


def _mend(kind: str, got: Any) -> str | None:
    """How the value is written if only its form in YAML is wrong."""
    if kind == "string_type" and type(got) in (int, float, bool):
        return f'for a text put quotes around it: "{_yaml(got)}"'
    if not isinstance(got, str):
        whole = isinstance(got, float) and got.is_integer() and kind == "int_type"
        return f"write {got:.0f}" if whole else None
    if kind in ("int_type", "float_type"):
        digits = got.replace("_", "").strip()
        number = re.fullmatch(r"[-+]?\d+" if kind == "int_type" else r"[-+]?[\d.eE+-]*\d", digits)
        return f"write {digits} without quotes" if number else None
    if kind == "bool_type":
        answer = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(got.lower())
        answer = answer or (got.lower() if got.lower() in ("true", "false") else None)
        return f"write {answer}, without quotes" if answer else None
    return None


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


def _nearest_duration(got: Any) -> str | None:
    """The duration that a misspelt unit stands for."""
    match = _AMOUNT.fullmatch(got) if isinstance(got, str) else None
    if match is None or not match.group(2):
        return None
    unit = nearest(match.group(2), ("epochs", "steps", "epoch", "step"))
    return f"{match.group(1)} {unit}" if unit else None


def _value_at(values: Any, loc: Sequence[str | int]) -> Any:
    for key in loc:
        values = values[key]
    return values


def _prefixed(problem: Problem, prefix: str) -> Problem:
    if not prefix:
        return problem
    return replace(problem, path=f"{prefix}.{problem.path}" if problem.path else prefix)
