"""Plots of a comparison: curves with bands, and differences seed by seed."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainwright.compare.plan import Plan
from trainwright.compare.quantities import History, Recorded
from trainwright.compare.results import Row
from trainwright.compare.statistics import Estimate
from trainwright.storage import Folder
from trainwright.tracking.plots import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#6b7280", "#d1622b", "#1f6fb4", "#3d8b57", "#8a5fb0", "#b8912b", "#b03a5b", "#3a9aa8")
"""The baseline's grey first."""

MOST_PLOTS = 8


def plot_comparison(plan: Plan, recorded: Recorded, rows: Sequence[Row], folder: Folder) -> None:
    """Draw a figure for each reported quantity under ``plots/``."""
    for quantity in list(dict.fromkeys(row.quantity for row in rows))[:MOST_PLOTS]:
        of_it = [row for row in rows if row.quantity == quantity]
        _draw(plan, recorded, of_it, folder)


def _draw(plan: Plan, recorded: Recorded, rows: Sequence[Row], folder: Folder) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    quantity, baseline = rows[0].quantity, plan.job.spec.baseline
    figure = Figure(figsize=(10.4, 4.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    note = " (placebo)" if plan.placebo else ""
    figure.suptitle(f"{plan.job.spec.name}{note}", x=0.01, ha="left", fontsize=10, color="#444444")
    colors = _colors(plan)
    drawn = [y for row in rows for y in _curve(left, recorded, row, colors[row.variant])]
    if drawn and min(drawn) > 0 and max(drawn) / min(drawn) >= 100:
        left.set_yscale("log")
    _finish(left, quantity.partition("@")[0], "step")
    left.legend(frameon=False)
    _differences(right, rows, baseline, colors)
    content = io.BytesIO()
    figure.savefig(content, format="png")
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", quantity)
    folder.write_bytes(f"plots/{name}.png", content.getvalue())


def _colors(plan: Plan) -> dict[str, str]:
    baseline = plan.job.spec.baseline
    ordered = [baseline, *(name for name in plan.variants if name != baseline)]
    return {name: COLORS[index % len(COLORS)] for index, name in enumerate(ordered)}


def _curve(axes: Axes, recorded: Recorded, row: Row, color: str) -> Sequence[float]:
    """The mean over the seeds, which is returned, and the 95 % interval of the mean as a band."""
    name = row.quantity.partition("@")[0]
    histories = [
        history
        for seed in recorded.seeds([row.variant])
        if (history := recorded.of(row.variant, seed).histories.get(name)) is not None
    ]
    if not histories:
        return []
    steps, estimates = mean_curve(histories)
    is_noisy = name.startswith("train/")

    def prepared(values: list[float]) -> Curve:
        curve = Curve(steps, values)
        return (curve.smoothed() if is_noisy else curve).thinned()

    middle = prepared([estimate.mean for estimate in estimates])
    style: dict[str, Any] = {"marker": "o", "markersize": 3} if len(middle.steps) <= 40 else {}
    axes.plot(middle.steps, middle.values, color=color, linewidth=1.6, label=row.variant, **style)
    if len(histories) > 1:
        low = prepared([estimate.lower for estimate in estimates])
        high = prepared([estimate.upper for estimate in estimates])
        axes.fill_between(low.steps, low.values, high.values, color=color, alpha=0.15, linewidth=0)
    return middle.values


def mean_curve(histories: Sequence[History]) -> tuple[list[int], list[Estimate]]:
    """The estimate at each step that all histories have."""
    values = [dict(zip(h.steps, h.values, strict=True)) for h in histories]
    steps = sorted(set.intersection(*(set(points) for points in values)))
    return steps, [Estimate.of([points[step] for points in values]) for step in steps]


def _differences(axes: Axes, rows: Sequence[Row], baseline: str, colors: dict[str, str]) -> None:
    """One dot per seed, the mean with its interval beside them."""
    reference = next(row.values for row in rows if row.variant == baseline)
    others = [row for row in rows if row.variant != baseline]
    axes.axhline(0, color="#999999", linewidth=0.9)
    for place, row in enumerate(others):
        pairs = [row.values[seed] - reference[seed] for seed in row.values if seed in reference]
        spread = [place - 0.18 + 0.12 * (i / max(len(pairs) - 1, 1)) for i in range(len(pairs))]
        color = colors[row.variant]
        axes.plot(spread, pairs, "o", color=color, alpha=0.55, markersize=4, linestyle="none")
        if row.difference is not None and row.difference.count > 1:
            mean, low = row.difference.mean, row.difference.lower
            axes.errorbar(
                [place + 0.14], [mean], yerr=mean - low, color=color, fmt="D", capsize=4, ms=5
            )
    tilt = 15 if len(others) > 3 else 0
    axes.set_xticks(range(len(others)), [row.variant for row in others], rotation=tilt)
    axes.set_xlim(-0.6, max(len(others), 1) - 0.4)
    _finish(axes, f"{rows[0].quantity} minus {baseline}", None)


def _finish(axes: Axes, label: str, below: str | None) -> None:
    axes.set_ylabel(label)
    if below:
        axes.set_xlabel(below)
    axes.grid(True, axis="both" if below else "y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
