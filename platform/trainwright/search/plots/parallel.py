"""All parameters and metrics as upright axes beside one another, each trial a line across them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from trainwright.search.plots.rows import (
    Metric,
    NothingToSeeError,
    TrialRow,
    best_of,
    valued,
)
from trainwright.search.plots.scales import Scale, wrapped
from trainwright.search.plots.style import BEST, faint
from trainwright.search.space.reading import Parameter
from trainwright.tracking.canvas import Canvas, is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY = 10
"""Trials of which the worst ones need no colours of their own."""


def draw_parallel(
    rows: Sequence[TrialRow],
    parameters: Sequence[Parameter],
    metrics: Sequence[Metric],
    title: str,
) -> Canvas:
    """A line for each judged trial, coloured by the first metric, dark being good.

    Where a parameter is inactive a trial has no mark, and its line is dotted as far as the next
    one that it has.

    Raises:
        NothingToSeeError: fewer than two trials have a value, or there is one parameter alone.
    """
    known = valued(rows, metrics[0])
    if len(known) < 2:
        raise NothingToSeeError("fewer than two trials have a value")
    if len(parameters) < 2:
        raise NothingToSeeError("there is one parameter alone, whose slice shows the same")
    scales = _scales([one.row for one in known], parameters, metrics)
    canvas = Canvas(title, size=(max(7.2, 1.5 * len(scales) + 1.4), 4.8))
    axes = canvas.panel("", "", counts=False).axes
    _draw_axes(axes, scales)
    colours = _colours([one.value for one in known], metrics[0])
    alpha = 0.8 * faint(len(known))
    # The best ones last, so that nothing covers them.
    for one in sorted(known, key=lambda one: -metrics[0].cost(one.value)):
        style = {"color": colours.to_rgba(one.value), "alpha": alpha, "linewidth": 1.1}
        _draw_line(axes, _points(one.row, scales, metrics), style)
    best = best_of(rows, metrics[0])
    if best is not None:
        style = {"color": BEST, "linewidth": 2.6, "zorder": 5}
        _draw_line(axes, _points(best.row, scales, metrics), style)
        axes.set_title(f"best: {best.row.label}", loc="right", fontsize=10, color=BEST)
    axes.figure.colorbar(
        colours, ax=axes, label=str(metrics[0]), pad=0.02, extend=_beyond(metrics[0], len(known))
    )
    return canvas


def _scales(
    rows: Sequence[TrialRow], parameters: Sequence[Parameter], metrics: Sequence[Metric]
) -> list[Scale]:
    of_parameters = [
        Scale.of_parameter(p, [row.assignment[p.name] for row in rows if p.name in row.assignment])
        for p in parameters
    ]
    of_metrics = [Scale.of_numbers(m.name, [one.value for one in valued(rows, m)]) for m in metrics]
    return [*of_parameters, *of_metrics]


def _draw_axes(axes: Axes, scales: Sequence[Scale]) -> None:
    axes.grid(False)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.45, len(scales) - 0.85)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xticks(range(len(scales)), [wrapped(scale.name) for scale in scales], fontsize=8)
    axes.tick_params(axis="x", length=0)
    for index, scale in enumerate(scales):
        axes.plot([index, index], [0, 1], color="#777777", linewidth=0.9, zorder=3)
        for place, text in scale.ticks():
            axes.plot([index - 0.03, index], [place] * 2, color="#777777", linewidth=0.9, zorder=3)
            axes.text(
                index - 0.05,
                place,
                text,
                fontsize=7,
                color="#333333",
                ha="right",
                va="center",
                zorder=6,
                bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
            )


def _points(
    row: TrialRow, scales: Sequence[Scale], metrics: Sequence[Metric]
) -> list[float | None]:
    """The height at each axis; None where the trial has no value."""
    split = len(scales) - len(metrics)
    heights: list[float | None] = [
        scale.spread(row.assignment[scale.name], row.number)
        if scale.name in row.assignment
        else None
        for scale in scales[:split]
    ]
    measured = zip(scales[split:], map(row.value, metrics), strict=True)
    return heights + [None if value is None else scale.place(value) for scale, value in measured]


def _draw_line(axes: Axes, heights: Sequence[float | None], style: dict[str, Any]) -> None:
    known = [(index, h) for index, h in enumerate(heights) if h is not None]
    # NaN breaks a line.
    axes.plot(range(len(heights)), [float("nan") if h is None else h for h in heights], **style)
    axes.plot(*zip(*known, strict=True), linestyle="none", marker="o", ms=2.6, color=style["color"])
    bridge = {**style, "linestyle": ":", "linewidth": style["linewidth"] * 0.7}
    for (left, low), (right, high) in pairwise(known):
        if right - left > 1:
            axes.plot([left, right], [low, high], **bridge)


def _colours(values: Sequence[float], metric: Metric) -> Any:
    """What gives a value its colour; the worst fifth all have the same.

    A few trials that went astray would otherwise leave one colour to all that did not.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    ranked = sorted(values, key=metric.cost)
    worst = ranked[(4 * (len(ranked) - 1)) // 5 if len(ranked) >= _MANY else -1]
    low, high = sorted((ranked[0], worst))
    norm = LogNorm(low, high) if is_wide((low, high)) else Normalize(low, high)
    return ScalarMappable(norm, "viridis_r" if metric.goal == "max" else "viridis")


def _beyond(metric: Metric, count: int) -> Literal["neither", "min", "max"]:
    """At which end of the colours values are cut off."""
    if count < _MANY:
        return "neither"
    return "min" if metric.goal == "max" else "max"
