"""What one check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "note", "stop"]


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Attributes:
        name: what was looked at.
        state: ``ok``; ``note`` for what a run can live with; ``stop`` for what would stop one.
        says: what was found.
        mend: what to do about it; empty when all is well.
    """

    name: str
    state: State
    says: str
    mend: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
