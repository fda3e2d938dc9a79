"""Colours and marks of trials, the same in all pictures of a sweep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainwright.tracking.canvas import TRAIN, VALIDATION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BEST = VALIDATION
PALE = "#a9c6e0"
GREY = "#9a9a9a"


@dataclass(frozen=True)
class Look:
    """How trials in one state are drawn.

    Attributes:
        color: of marks and lines.
        marker: matplotlib's sign.
        filled: whether marks are full.
        alpha: of lines.
    """

    color: str
    marker: str = "o"
    filled: bool = True
    alpha: float = 0.8

    def marks(self, size: float = 5.0) -> dict[str, Any]:
        """Arguments of ``plot`` for marks alone."""
        face = self.color if self.filled else "white"
        return {
            "color": self.color,
            "linestyle": "none",
            "marker": self.marker,
            "markersize": size,
            "markerfacecolor": face,
        }


def faint(count: int) -> float:
    """How opaque each of many lines is, in (0, 1]: one alone fully, so that their density shows."""
    return min(1.0, max(0.2, 60 / max(count, 1)))


LOOKS = {
    "finished": Look(TRAIN),
    "stopped": Look(PALE, alpha=0.6),
    "running": Look(TRAIN, filled=False, alpha=0.5),
    "failed": Look("#8f2d2d", marker="x"),
}
"""State -> look; trials in other states have nothing to show."""


def explain(axes: Axes, states: Iterable[str], lines: bool = False) -> None:
    """A legend entry for each state that is drawn, in the order of ``LOOKS``."""
    shown = set(states)
    for state, look in LOOKS.items():
        if state not in shown:
            continue
        if lines:
            axes.plot([], [], color=look.color, alpha=look.alpha, linewidth=1.4, label=state)
        else:
            axes.plot([], [], label=state, **look.marks())
