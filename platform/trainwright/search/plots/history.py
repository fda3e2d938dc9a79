"""What came of trials in their order, and how each of them went on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from trainwright.search.plots.rows import (
    Metric,
    NothingToSeeError,
    TrialRow,
    Valued,
    best_of,
    valued,
)
from trainwright.search.plots.style import BEST, LOOKS, explain, faint
from trainwright.tracking.canvas import Canvas, is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_history(rows: Sequence[TrialRow], metrics: Sequence[Metric], title: str) -> Canvas:
    """The value of each trial over its number, and the best finished one so far as a line.

    Raises:
        NothingToSeeError: no trial has a value.
    """
    states = ("finished", "stopped", "running")
    found = [(metric, known) for metric in metrics if (known := valued(rows, metric, states))]
    if not found:
        raise NothingToSeeError("no trial has a value yet")
    canvas = canvas_for(title, len(found))
    for index, (metric, known) in enumerate(found):
        axes = canvas.panel("trial", metric.name).axes
        _draw_values(axes, known)
        _draw_failed(axes, rows)
        _draw_best_so_far(axes, known, metric, last=max(row.number for row in rows))
        if index == 0:
            axes.plot([], [], color=BEST, linewidth=1.6, label="best so far")
            explain(axes, {row.state for row in rows if row.state in ("failed", *states)})
    return canvas


def _draw_values(axes: Axes, known: Sequence[Valued]) -> None:
    for state in {one.row.state for one in known}:
        of_state = [one for one in known if one.row.state == state]
        numbers = [one.row.number for one in of_state]
        marks = LOOKS[state].marks(5.0 if len(known) <= 150 else 3.0)
        axes.plot(numbers, [one.value for one in of_state], zorder=3, **marks)
    if is_wide([one.value for one in known]):
        axes.set_yscale("log")


def _draw_failed(axes: Axes, rows: Sequence[TrialRow]) -> None:
    """What failed has no value, and stands at the lower edge."""
    numbers = [row.number for row in rows if row.state == "failed"]
    edge = axes.get_xaxis_transform()
    axes.plot(numbers, [0.03] * len(numbers), transform=edge, zorder=3, **LOOKS["failed"].marks())


def _draw_best_so_far(axes: Axes, known: Sequence[Valued], metric: Metric, last: int) -> None:
    finished = [one for one in known if one.row.state == "finished"]
    better = min if metric.goal == "min" else max
    best = list(accumulate((one.value for one in finished), better))
    numbers = [one.row.number for one in finished]
    # The last value holds as far as there are trials.
    axes.step(
        [*numbers, last] if numbers else [],
        [*best, *best[-1:]],
        where="post",
        color=BEST,
        linewidth=1.6,
    )


def draw_curves(
    rows: Sequence[TrialRow], metrics: Sequence[Metric], title: str, resource: str
) -> Canvas:
    """Each trial's values over what was spent on it; stopped ones pale, the best one emphasised.

    Raises:
        NothingToSeeError: no trial was evaluated more than once.
    """
    found = [metric for metric in metrics if any(len(row.points(metric)) > 1 for row in rows)]
    if not found:
        raise NothingToSeeError("no trial was evaluated more than once")
    canvas = canvas_for(title, len(found))
    whole = all(float(spent).is_integer() for row in rows for spent, _ in row.curve)
    for metric in found:
        _draw_lines(canvas.panel(resource, metric.name, counts=whole).axes, rows, metric)
    return canvas


def _draw_lines(axes: Axes, rows: Sequence[TrialRow], metric: Metric) -> None:
    best, everything = best_of(rows, metric), list[float]()
    drawn = [row for row in rows if row.state in LOOKS and row.points(metric)]
    # Pale ones first, so that they cover none.
    for row in sorted(drawn, key=lambda row: (row.state != "stopped", row.number)):
        look = LOOKS[row.state]
        spent, values = zip(*row.points(metric), strict=True)
        everything += values
        alpha = look.alpha * faint(len(drawn))
        axes.plot(spent, values, color=look.color, alpha=alpha, linewidth=1.0)
        axes.plot(spent[-1:], values[-1:], alpha=alpha, **look.marks(3.0))
    if best is not None and (points := best.row.points(metric)):
        spent, values = zip(*points, strict=True)
        label = f"best: {best.row.label}"
        axes.plot(spent, values, color=BEST, linewidth=2.2, zorder=4, label=label)
    explain(axes, {row.state for row in drawn}, lines=True)
    if is_wide(everything):
        axes.set_yscale("log")


def canvas_for(title: str, num_metrics: int) -> Canvas:
    """A figure with a pair of axes for each metric."""
    columns = min(2, num_metrics)
    return Canvas(title, columns, -(-num_metrics // columns))
