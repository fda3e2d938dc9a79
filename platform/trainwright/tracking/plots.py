"""Plots of a run from its journal: losses, validation metrics, learning rate."""

from __future__ import annotations

import io
import math
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage
from trainwright.tracking.settings import run_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_POINTS = 4000
"""A longer curve is thinned to about this many points before it is drawn."""

_TRAIN, _VALIDATION, _RATE = "#1f6fb4", "#d1622b", "#3d8b57"
_RATES = ("train/lr", "train/learning_rate", "lr", "learning_rate")


@dataclass
class Curve:
    """The finite values of one metric in step order."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def thinned(self) -> Curve:
        """At most about ``MAX_POINTS`` evenly chosen points, the last one among them."""
        stride = math.ceil(len(self.steps) / MAX_POINTS)
        if stride <= 1:
            return self
        offset = (len(self.steps) - 1) % stride
        return Curve(self.steps[offset::stride], self.values[offset::stride])

    def smoothed(self) -> Curve:
        """Moving average over about a fortieth of the curve, less at its ends."""
        half = len(self.values) // 80
        total = [0.0]
        for value in self.values:
            total.append(total[-1] + value)
        averages = []
        for index in range(len(self.values)):
            start, stop = max(0, index - half), min(len(self.values), index + half + 1)
            averages.append((total[stop] - total[start]) / (stop - start))
        return Curve(self.steps, averages)


def read_curves(folder: Folder) -> dict[str, Curve]:
    """All metrics of the surviving lineage; a step recorded twice keeps its last value."""
    found: dict[str, dict[int, float]] = defaultdict(dict)
    for row in read_lineage(folder):
        if row["kind"] == "metrics":
            for key, value in row["values"].items():
                if math.isfinite(value):
                    found[key][row["step"]] = value
    return {
        key: Curve(sorted(points), [points[step] for step in sorted(points)])
        for key, points in found.items()
    }


def plot_run(folder: Folder) -> list[str]:
    """Draw the run's plots under ``plots/``: loss, each validation metric, learning rate.

    Logged histograms are drawn under ``figures/``.

    Returns:
        The names written, relative to the run folder; empty when there is nothing to draw.
    """
    from trainwright.tracking.histograms import draw_histograms

    curves = read_curves(folder)
    title = run_name(folder)
    names = []
    if "train/loss" in curves or "validation/loss" in curves:
        names.append(_draw_loss(folder, title, curves))
    for key in sorted(curves):
        if key.startswith("validation/") and key != "validation/loss":
            names.append(_draw(folder, title, key, curves[key], _VALIDATION))
    rate = next((key for key in _RATES if key in curves), None)
    if rate is not None:
        names.append(_draw(folder, title, "learning rate", curves[rate], _RATE))
    return [*names, *draw_histograms(folder)]


def _draw_loss(folder: Folder, title: str, curves: dict[str, Curve]) -> str:
    train, validation = curves.get("train/loss"), curves.get("validation/loss")
    canvas = _Canvas(title, "loss")
    if train is not None:
        canvas.add_noisy(train, _TRAIN, "training")
    if validation is not None:
        canvas.add_points(validation, _VALIDATION, "validation")
    canvas.scale_for([curve for curve in (train, validation) if curve is not None])
    return canvas.write(folder, "loss")


def _draw(folder: Folder, title: str, label: str, curve: Curve, color: str) -> str:
    canvas = _Canvas(title, label)
    if len(curve.steps) <= 200:
        canvas.add_points(curve, color, None)
    else:
        canvas.add_line(curve, color)
    return canvas.write(folder, label)


class _Canvas:
    """One figure with one pair of axes, drawn without a display."""

    def __init__(self, title: str, label: str) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        self._figure = Figure(figsize=(7.2, 4.3), dpi=130, layout="constrained")
        FigureCanvasAgg(self._figure)
        self._axes: Axes = self._figure.add_subplot()
        self._axes.set_title(title, fontsize=10, color="#444444", loc="left")
        self._axes.set_xlabel("step")
        self._axes.xaxis.set_major_locator(
            MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)
        )
        self._axes.set_ylabel(label)
        self._axes.grid(True, color="#e4e4e4", linewidth=0.8)
        self._axes.set_axisbelow(True)
        for side in ("top", "right"):
            self._axes.spines[side].set_visible(False)

    def add_noisy(self, curve: Curve, color: str, label: str) -> None:
        """The raw values faintly, their moving average strongly."""
        raw, smooth = curve.thinned(), curve.smoothed().thinned()
        self._axes.plot(raw.steps, raw.values, color=color, alpha=0.25, linewidth=0.8)
        self._axes.plot(smooth.steps, smooth.values, color=color, linewidth=1.8, label=label)

    def add_points(self, curve: Curve, color: str, label: str | None) -> None:
        """Joined points, for values measured now and then."""
        self._axes.plot(
            curve.steps,
            curve.values,
            color=color,
            linewidth=1.4,
            marker="o",
            markersize=4 if len(curve.steps) <= 60 else 2,
            label=label,
        )

    def add_line(self, curve: Curve, color: str) -> None:
        """A plain line."""
        thin = curve.thinned()
        self._axes.plot(thin.steps, thin.values, color=color, linewidth=1.6)

    def scale_for(self, curves: list[Curve]) -> None:
        """A logarithmic axis where the values are positive and span two decades or more."""
        values = [value for curve in curves for value in curve.values]
        if values and min(values) > 0 and max(values) / min(values) >= 100:
            self._axes.set_yscale("log")

    def write(self, folder: Folder, label: str) -> str:
        """Store the figure as PNG; its name."""
        if self._axes.get_legend_handles_labels()[1]:
            self._axes.legend(frameon=False)
        self._axes.margins(x=0.02)
        content = io.BytesIO()
        self._figure.savefig(content, format="png")
        name = f"plots/{re.sub(r'[^A-Za-z0-9.-]+', '-', label)}.png"
        folder.write_bytes(name, content.getvalue())
        return name
