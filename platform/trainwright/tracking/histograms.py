"""Pictures of logged histograms: how the distribution of a quantity moves over the updates."""

from __future__ import annotations

import io
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from trainwright.storage import Folder
from trainwright.tracking.lineage import read_lineage
from trainwright.tracking.rows import HistogramRow
from trainwright.tracking.settings import run_name
from trainwright.tracking.writer import figure_name

MAX_COLUMNS = 500
"""More histograms than this are thinned before they are drawn."""
NUM_ROWS = 128


def draw_histograms(folder: Folder, unit: str = "step", at_least: int = 1) -> list[str]:
    """One picture for each histogram in the journal: steps across, values up, density in colour.

    Args:
        folder: of the run.
        unit: what a step of the run is called.
        at_least: those that were recorded less often are not drawn.

    Returns:
        The names written, relative to the run folder.
    """
    found: dict[str, dict[int, HistogramRow]] = defaultdict(dict)
    for row in read_lineage(folder):
        if row["kind"] == "histogram":
            found[row["name"]][row["step"]] = row
    title = run_name(folder)
    return [
        _draw(folder, title, name, rows, unit)
        for name, rows in sorted(found.items())
        if len(rows) >= at_least
    ]


def _draw(folder: Folder, title: str, name: str, found: dict[int, HistogramRow], unit: str) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = sorted(found)
    steps = steps[:: -(-len(steps) // MAX_COLUMNS)]
    rows = [found[step] for step in steps]
    low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
    grid = np.stack([density(row, low, high) for row in rows], axis=1)
    figure = Figure(figsize=(7.2, 4.3), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=10, color="#444444", loc="left")
    axes.set_xlabel(unit)
    axes.set_ylabel(name)
    edges = [*steps, steps[-1] + (steps[-1] - steps[-2] if len(steps) > 1 else 1)]
    image = axes.pcolormesh(edges, np.linspace(low, high, NUM_ROWS + 1), grid, cmap="Blues")
    figure.colorbar(image, ax=axes, label="share of values per unit")
    content = io.BytesIO()
    figure.savefig(content, format="png")
    file = figure_name(name)
    folder.write_bytes(file, content.getvalue())
    return file


def density(row: HistogramRow, low: float, high: float) -> npt.NDArray[np.float64]:
    """The row's share of values per unit at ``NUM_ROWS`` heights between ``low`` and ``high``."""
    counts = np.asarray(row["counts"], dtype=np.float64)
    width = (row["high"] - row["low"]) / len(counts)
    heights = low + (np.arange(NUM_ROWS) + 0.5) * (high - low) / NUM_ROWS
    place = np.floor((heights - row["low"]) / width).astype(np.int64)
    inside = (place >= 0) & (place < len(counts))
    values = np.zeros(NUM_ROWS)
    values[inside] = counts[place[inside]] / (counts.sum() * width)
    return values
