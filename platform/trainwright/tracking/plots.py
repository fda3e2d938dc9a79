"""Plots of a run from its journal: losses, validation metrics, learning rate."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trainwright.storage import Folder
from trainwright.tracking.canvas import TRAIN, VALIDATION, Canvas, Panel
from trainwright.tracking.lineage import read_lineage
from trainwright.tracking.settings import read_job, run_name

MAX_POINTS = 4000
"""A longer curve is thinned to about this many points before it is drawn."""

_RATE = "#3d8b57"
_RATES = ("train/lr", "train/learning_rate", "lr", "learning_rate")


@dataclass
class Curve:
    """The finite values of one metric in step order, or over another quantity that only grows."""

    steps: Sequence[float] = field(default_factory=list)
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
    """Draw what the run has recorded, as it is usual for its kind of job.

    Returns:
        The names written, relative to the run folder; empty when there is nothing to draw.
    """
    from trainwright.job.kinds import DEFAULT, KINDS

    return KINDS[str(read_job(folder).get("kind", DEFAULT))].plot(folder)


def plot_training(folder: Folder) -> list[str]:
    """Draw plots under ``plots/``: loss, each validation metric, learning rate.

    Logged histograms are drawn under ``figures/``.

    Returns:
        The names written, relative to the run folder; empty when there is nothing to draw.
    """
    from trainwright.tracking.histograms import draw_histograms

    curves = read_curves(folder)
    title = run_name(folder)
    names = []
    if "train/loss" in curves or "validation/loss" in curves:
        canvas = Canvas(title)
        draw_loss(canvas.panel("step", "loss"), curves)
        names.append(canvas.write(folder, "loss"))
    for key in sorted(curves):
        if key.startswith("validation/") and key != "validation/loss":
            names.append(_draw(folder, title, key, curves[key], VALIDATION))
    rate = next((key for key in _RATES if key in curves), None)
    if rate is not None:
        names.append(_draw(folder, title, "learning rate", curves[rate], _RATE))
    return [*names, *draw_histograms(folder)]


def draw_loss(panel: Panel, curves: Mapping[str, Curve]) -> None:
    """The loss of training and that of validation, as far as they were recorded."""
    train, validation = curves.get("train/loss"), curves.get("validation/loss")
    if train is not None:
        panel.add_noisy(train, TRAIN, "training")
    if validation is not None:
        panel.add_points(validation, VALIDATION, "validation")
    panel.scale_for([curve for curve in (train, validation) if curve is not None])


def _draw(folder: Folder, title: str, label: str, curve: Curve, color: str) -> str:
    canvas = Canvas(title)
    canvas.panel("step", label).add(curve, color)
    return canvas.write(folder, label)
