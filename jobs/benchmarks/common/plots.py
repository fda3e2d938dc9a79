"""The figures: how they look, and the one of all ratios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.benchmark import Judged


@contextmanager
def figure(file: Path, width: float = 7.0, height: float = 4.0) -> Iterator[Any]:
    """A figure to draw in, written when the block ends: the same bytes for the same drawing.

    Args:
        file: where it goes; its ending says the format.
        width: in inches.
        height: in inches.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": "trainwright", "svg.fonttype": "none", "font.size": 9}):
        drawn = Figure(figsize=(width, height), layout="constrained")
        yield drawn
        dated = {"Date": None} if file.suffix == ".svg" else None
        drawn.savefig(file, dpi=120, metadata=dated)


def plot_ratios(rows: Sequence[Judged], file: Path) -> None:
    """Draw each ratio with its interval, and its goal.

    Args:
        rows: label, ratio and goal.
        file: where the figure goes; its ending says the format.
    """
    with figure(file, height=1 + 0.22 * len(rows)) as drawn:
        axes = drawn.subplots()
        for place, (_, ratio, goal) in enumerate(rows):
            color = "tab:blue" if ratio["high"] <= goal else "tab:red"
            axes.plot([ratio["low"], ratio["high"]], [place, place], color=color)
            axes.plot(ratio["median"], place, "o", color=color, markersize=4)
            axes.plot([goal, goal], [place - 0.4, place + 0.4], color="black", linewidth=1)
        axes.axvline(1.0, color="grey", linewidth=0.5)
        axes.set_xscale("log")
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel("ours / the other: median and 95 % interval; black: goal")
