"""What patterns ask of texts, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """Marks a type of texts that have a form of their own, which its pattern checks.

    Attributes:
        words: what is allowed, as in ``a size such as 16Gi``.
    """

    words: str
