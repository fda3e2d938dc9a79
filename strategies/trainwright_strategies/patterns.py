"""Patterns (``body.*``) by which options name layers and parameters."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase

from trainwright.suggest import nearest, one_of


def name_in_model(name: str) -> str:
    """What a parameter is called within the model: ``body.0.weight`` of ``model.body.0.weight``."""
    return name.removeprefix("model.")


def fits(name: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns fits the name."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def check_patterns(option: str, patterns: Iterable[str], names: Collection[str]) -> None:
    """Refuse a pattern that fits nothing.

    Args:
        option: that holds the patterns, for the message.
        patterns: to check.
        names: what there is.

    Raises:
        ValueError: a pattern fits none of the names.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            meant = nearest(pattern, names)
            hint = f"; nearest: {meant}" if meant else ""
            raise ValueError(f"{option}: {pattern!r} fits none of {one_of(names)}{hint}")
