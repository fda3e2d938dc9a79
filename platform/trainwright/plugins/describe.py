"""Types of options in the words a user meets in errors and in ``trainwright show``."""

from __future__ import annotations

import enum
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from trainwright.durations import Duration
from trainwright.plugins.markers import Nested, holds_many, marker_of

_WORDS: dict[Any, str] = {
    Any: "anything",
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    type(None): "null",
    None: "null",
    Path: "path",
    Duration: "duration such as '200 steps' or '1 epoch'",
    list: "list",
    tuple: "list",
    dict: "mapping",
}
_SYMBOLS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_PARTS = {str: ("character", "characters")}
_UNIONS = (Union, types.UnionType)


def describe(annotation: Any) -> str:
    """The type in words, for example ``list of 2: number >= 0, number or null``."""
    origin = get_origin(annotation)
    if origin is Annotated:
        nested = marker_of(annotation, Nested)
        if nested is not None:
            return _describe_nested(annotation, nested.group)
        limits = bounds(annotation)
        return f"{describe(get_args(annotation)[0])}{' ' if limits else ''}{limits}"
    if origin is Literal:
        return "one of " + ", ".join(_literal(value) for value in get_args(annotation))
    if origin in _UNIONS:
        return " or ".join(dict.fromkeys(describe(part) for part in union_members(annotation)))
    if origin is not None:
        return _describe_generic(origin, get_args(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return "one of " + ", ".join(_literal(item.value) for item in annotation)
    if is_tensor(annotation):
        return "list of numbers"
    try:
        return _WORDS[annotation]
    except (KeyError, TypeError):
        return getattr(annotation, "__name__", str(annotation))


def _describe_nested(annotation: Any, group: str) -> str:
    what = f"list of {group}" if holds_many(annotation) else group.removesuffix("s")
    optional = type(None) in get_args(get_args(annotation)[0])
    return f"{what}, each by name with options{' or null' if optional else ''}"


def bounds(annotation: Any) -> str:
    """The allowed range, for example ``> 0 and <= 1``; empty when the type sets none."""
    if get_origin(annotation) in _UNIONS:
        parts = [bounds(part) for part in union_members(annotation)]
        return " or ".join(part for part in parts if part)
    if get_origin(annotation) is not Annotated:
        return ""
    found: list[str] = []
    for item in _constraints(get_args(annotation)[1:]):
        for attribute, symbol in _SYMBOLS.items():
            limit = getattr(item, attribute, None)
            if limit is not None:
                found.append(
                    f"{symbol} {limit:g}" if isinstance(limit, float) else f"{symbol} {limit}"
                )
        if getattr(item, "multiple_of", None) is not None:
            found.append(f"a multiple of {item.multiple_of}")
        for attribute, word in (("min_length", "at least"), ("max_length", "at most")):
            count = getattr(item, attribute, None)
            if count is not None:
                one, many = _PARTS.get(get_args(annotation)[0], ("entry", "entries"))
                found.append(f"with {word} {count} {one if count == 1 else many}")
    return " and ".join(found)


def union_members(annotation: Any) -> tuple[Any, ...]:
    """The members of a union, null last; a type that is no union is its only member."""
    if get_origin(annotation) not in _UNIONS:
        return (annotation,)
    members = get_args(annotation)
    return tuple(sorted(members, key=lambda member: member is type(None)))


def is_tensor(annotation: Any) -> bool:
    """Whether the type is ``torch.Tensor``, told without importing torch."""
    return (
        inspect.isclass(annotation)
        and annotation.__name__ == "Tensor"
        and annotation.__module__.partition(".")[0] == "torch"
    )


def _constraints(metadata: Iterable[Any]) -> Iterator[Any]:
    for item in metadata:
        yield from getattr(item, "metadata", [item])


def _describe_generic(origin: Any, arguments: tuple[Any, ...]) -> str:
    if origin is tuple and arguments and arguments[-1] is not ...:
        return f"list of {len(arguments)}: " + ", ".join(describe(part) for part in arguments)
    if origin is Callable:
        return "function (from Python only)"
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        return f"mapping of {describe(arguments[0])} to {describe(arguments[1])}"
    if inspect.isclass(origin) and issubclass(origin, (Sequence, Set)):
        return f"list of {_plural(describe(arguments[0]))}"
    return str(origin)


def _plural(word: str) -> str:
    return {"number": "numbers", "whole number": "whole numbers", "text": "texts"}.get(word, word)


def _literal(value: Any) -> str:
    return (
        "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )
