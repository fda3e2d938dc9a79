"""Figures as all pictures of runs are drawn: one pair of axes, or several beside one another."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from trainwright.storage import Folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from trainwright.tracking.plots import Curve

TRAIN, VALIDATION = "#1f6fb4", "#d1622b"
_SIZES = {1: (7.2, 4.3), 2: (10.4, 4.4), 3: (13.6, 4.2)}
_FURTHER_ROW = 3.2
"""Height of a row below the first one, in inches."""
_MOST_POINTS = 200
"""Longer curves are drawn without a mark for each point."""


class Canvas:
    """One figure, drawn without a display.

    Args:
        title: stands above it.
        columns: pairs of axes side by side, 1 to 3.
        rows: rows of them.
        size: width and height in inches; default: as fits the number of axes.
    """

    def __init__(
        self,
        title: str,
        columns: int = 1,
        rows: int = 1,
        size: tuple[float, float] | None = None,
    ) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        width, height = _SIZES[columns]
        size = size or (width, height + _FURTHER_ROW * (rows - 1))
        self._figure = Figure(figsize=size, dpi=130, layout="constrained")
        FigureCanvasAgg(self._figure)
        self._columns, self._rows = columns, rows
        self._panels: list[Panel] = []
        self._title = title

    def panel(self, below: str, label: str, counts: bool = True) -> Panel:
        """The next pair of axes, row by row from the left.

        Args:
            below: what goes across.
            label: what goes up.
            counts: whether what goes across are whole numbers.
        """
        axes = self._figure.add_subplot(self._rows, self._columns, len(self._panels) + 1)
        if not self._panels:
            axes.set_title(self._title, fontsize=10, color="#444444", loc="left")
        panel = Panel(axes, below, label, counts)
        self._panels.append(panel)
        return panel

    def write(self, folder: Folder, label: str) -> str:
        """Store the figure as PNG; its name."""
        for panel in self._panels:
            panel.close()
        content = io.BytesIO()
        self._figure.savefig(content, format="png")
        name = f"plots/{re.sub(r'[^A-Za-z0-9.-]+', '-', label)}.png"
        folder.write_bytes(name, content.getvalue())
        return name


class Panel:
    """One pair of axes of a figure.

    Attributes:
        axes: what matplotlib calls so.
    """

    def __init__(self, axes: Axes, below: str, label: str, counts: bool) -> None:
        self.axes = axes
        self._counts = counts
        axes.set_xlabel(below)
        axes.set_ylabel(label)
        axes.grid(True, color="#e4e4e4", linewidth=0.8)
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)

    def add(self, curve: Curve, color: str) -> None:
        """Joined points, or a plain line where there are many."""
        if len(curve.steps) <= _MOST_POINTS:
            self.add_points(curve, color, None)
        else:
            self.add_line(curve, color)

    def add_noisy(self, curve: Curve, color: str, label: str) -> None:
        """The raw values faintly, their moving average strongly."""
        raw, smooth = curve.thinned(), curve.smoothed().thinned()
        self.axes.plot(raw.steps, raw.values, color=color, alpha=0.25, linewidth=0.8)
        self.axes.plot(smooth.steps, smooth.values, color=color, linewidth=1.8, label=label)

    def add_points(self, curve: Curve, color: str, label: str | None) -> None:
        """Joined points, for values measured now and then."""
        self.axes.plot(
            curve.steps,
            curve.values,
            color=color,
            linewidth=1.4,
            marker="o",
            markersize=4 if len(curve.steps) <= 60 else 2,
            label=label,
        )

    def add_line(self, curve: Curve, color: str, label: str | None = None) -> None:
        """A plain line."""
        thin = curve.thinned()
        self.axes.plot(thin.steps, thin.values, color=color, linewidth=1.6, label=label)

    def scale_for(self, curves: Sequence[Curve]) -> None:
        """A logarithmic axis where the values are positive and span two decades or more."""
        if is_wide([value for curve in curves for value in curve.values]):
            self.axes.set_yscale("log")

    def close(self) -> None:
        """The last touches, once all is drawn."""
        from matplotlib.ticker import MaxNLocator

        if self._counts:
            self.axes.margins(x=0.02)
            self.axes.xaxis.set_major_locator(
                MaxNLocator(nbins="auto", steps=[1, 2, 5, 10], integer=True)
            )
        if self.axes.get_legend_handles_labels()[1]:
            self.axes.legend(frameon=False)


def is_wide(values: Sequence[float]) -> bool:
    """Whether values are positive and span two decades or more."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= 100
