"""Two metrics against one another, with the trials that no other one beats in both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal

from trainwright.search.goals import non_dominated
from trainwright.search.plots.rows import (
    Metric,
    NothingToSeeError,
    TrialRow,
)
from trainwright.search.plots.style import BEST, LOOKS
from trainwright.tracking.canvas import Canvas, is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PAIRS = 3
_ROOM = 22.0
"""Least distance between trials of the front that are numbered, in pixels."""


def draw_pareto(rows: Sequence[TrialRow], metrics: Sequence[Metric], title: str) -> Canvas:
    """A pair of axes for two metrics, or for each pair of more.

    The finished trials that are dominated by no other one, in all metrics together, are marked; of
    two metrics they are joined as the best of one that can be had for the other.

    Raises:
        NothingToSeeError: there is one metric alone, or fewer than two finished trials.
    """
    if len(metrics) < 2:
        raise NothingToSeeError("there is one metric alone")
    finished = [row for row in rows if row.state == "finished" and _all_of(row, metrics)]
    if len(finished) < 2:
        raise NothingToSeeError("fewer than two finished trials have all metrics")
    costs = [[m.cost(row.values[m.name]) for m in metrics] for row in finished]
    kept = non_dominated(costs)
    front = [row for row, keeps in zip(finished, kept, strict=True) if keeps]
    pairs = list(combinations(metrics, 2))[:MOST_PAIRS]
    canvas = Canvas(title, len(pairs))
    for index, (across, up) in enumerate(pairs):
        axes = canvas.panel(str(across), str(up), counts=False).axes
        xs, ys = ([row.values[metric.name] for row in finished] for metric in (across, up))
        axes.plot(xs, ys, label="finished" if index == 0 else None, **LOOKS["finished"].marks())
        axes.set_xscale("log" if is_wide(xs) else "linear")
        axes.set_yscale("log" if is_wide(ys) else "linear")
        _draw_front(axes, front, across, up, joined=len(metrics) == 2)
        if index == 0:
            axes.plot([], [], "D", color=BEST, label="beaten by no other")
    return canvas


def _draw_front(
    axes: Axes, front: Sequence[TrialRow], across: Metric, up: Metric, joined: bool
) -> None:
    points = sorted((row.values[across.name], row.values[up.name], row.number) for row in front)
    xs, ys = [x for x, _, _ in points], [y for _, y, _ in points]
    if joined:
        where: Literal["post", "pre"] = "post" if across.goal == "min" else "pre"
        axes.step(xs, ys, where=where, color=BEST, linewidth=1.2, alpha=0.7)
    axes.plot(xs, ys, "D", color=BEST, markersize=6, zorder=4)
    # Where pixels are is known only once the limits are.
    axes.autoscale_view()
    named: list[tuple[float, float]] = []
    for x, y, number in points:
        across_pixel, up_pixel = (float(pixel) for pixel in axes.transData.transform((x, y)))
        # Numbers on top of one another say nothing.
        if any(math.dist((across_pixel, up_pixel), other) < _ROOM for other in named):
            continue
        named.append((across_pixel, up_pixel))
        axes.annotate(
            str(number), (x, y), (5, 5), textcoords="offset points", fontsize=7, color="#444444"
        )


def _all_of(row: TrialRow, metrics: Sequence[Metric]) -> bool:
    return all(row.value(metric) is not None for metric in metrics)
