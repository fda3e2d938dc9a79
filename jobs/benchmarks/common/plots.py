"""The figures: how they look, and the one of all ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.benchmark import Judged

LEAST, MOST = 0.24, 2.2
"""Ratios that the common figure has room for."""


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
        axes.set_xscale("log")
        axes.axvline(1.0, color="grey", linewidth=0.5)
        for place, (_, ratio, goal) in enumerate(rows):
            _draw_ratio(axes, place, ratio, goal)
        axes.set_xlim(LEAST, MOST)
        axes.set_xticks([0.25, 0.5, 1, 2], ["1/4", "1/2", "1", "2"])
        axes.set_xticks([], minor=True)
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlabel("ours / the other: median, 95 % interval\nblack: goal; red: not met")


def _draw_ratio(axes: Any, place: int, ratio: Mapping[str, Any], goal: float) -> None:
    """One ratio; those far below the others are told, lest these have no room."""
    color = "tab:blue" if ratio["high"] <= goal else "tab:red"
    if ratio["median"] < LEAST:
        text = f"{ratio['median']:.2g}, goal {goal:.3g}"
        axes.plot(LEAST, place, "<", color=color, markersize=6, clip_on=False)
        axes.annotate(text, (LEAST * 1.04, place), va="center", fontsize=7)
        return
    axes.plot([ratio["low"], ratio["high"]], [place, place], color=color)
    axes.plot(ratio["median"], place, "o", color=color, markersize=4)
    axes.plot([goal, goal], [place - 0.4, place + 0.4], color="black", linewidth=1)
