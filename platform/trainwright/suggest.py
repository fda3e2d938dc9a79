"""Nearest-spelling suggestions for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: object, options: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The option spelled most like ``word``, or None when nothing is close.

    Case, hyphens and underscores do not count: ``ZLoss`` and ``z-loss`` both find ``z_loss``.
    Swapped letters and a single slip (a letter left out, added or replaced) go before any other
    likeness, and are recognised in short words too.

    Args:
        word: what the user wrote; anything that is not a string has no nearest spelling.
        options: the allowed spellings.
        cutoff: similarity in [0, 1] below which words more than one slip apart do not count.
    """
    if not isinstance(word, str):
        return None
    folded: dict[str, str] = {}
    for option in options:
        folded.setdefault(_fold(option), option)
    key = _fold(word)
    swaps = [option for option in folded if sorted(option) == sorted(key)]
    slips = swaps or [option for option in folded if _one_slip(key, option)]
    candidates = [key] if key in folded else slips or list(folded)
    matches = difflib.get_close_matches(key, candidates, n=1, cutoff=0.0 if slips else cutoff)
    return folded[matches[0]] if matches else None


def one_of(options: Iterable[str], limit: int = 12) -> str:
    """The options as text for an ``allowed:`` line, shortened beyond ``limit`` names."""
    names = list(options)
    shown = ", ".join(names[:limit])
    return f"{shown}, … ({len(names)} in all)" if len(names) > limit else shown


def _fold(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")


def _one_slip(word: str, other: str) -> bool:
    """Whether the words share a letter and one slip of the keyboard leads from one to the other."""
    if not set(word) & set(other) or abs(len(word) - len(other)) > 1:
        return False
    start = 0
    while start < min(len(word), len(other)) and word[start] == other[start]:
        start += 1
    rest, wanted = word[start:], other[start:]
    if len(rest) == len(wanted):
        swapped = rest[1:2] + rest[:1]
        return rest[1:] == wanted[1:] or (swapped == wanted[:2] and rest[2:] == wanted[2:])
    return rest[1:] == wanted or rest == wanted[1:]
