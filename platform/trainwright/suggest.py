"""Nearest-spelling suggestions for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: object, options: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The option spelled most like ``word``, or None when nothing is close.

    Case, hyphens and underscores do not count: ``ZLoss`` and ``z-loss`` both find ``z_loss``.

    Args:
        word: what the user wrote; anything that is not a string has no nearest spelling.
        options: the allowed spellings.
        cutoff: similarity in [0, 1] below which no suggestion is made.
    """
    if not isinstance(word, str):
        return None
    folded: dict[str, str] = {}
    for option in options:
        folded.setdefault(_fold(option), option)
    matches = difflib.get_close_matches(_fold(word), folded, n=1, cutoff=cutoff)
    return folded[matches[0]] if matches else None


def one_of(options: Iterable[str], limit: int = 12) -> str:
    """The options as text for an ``allowed:`` line, shortened beyond ``limit`` names."""
    names = list(options)
    shown = ", ".join(names[:limit])
    return f"{shown}, … ({len(names)} in all)" if len(names) > limit else shown


def _fold(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
