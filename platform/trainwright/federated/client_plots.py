"""Pictures of what was measured at single clients: how many of them fare how well."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from trainwright.federated.clients.measuring import GLOBAL, PERSONAL
from trainwright.federated.server.at_clients import PLACE
from trainwright.storage import Folder
from trainwright.tracking.canvas import TRAIN, VALIDATION, Canvas

Floats = npt.NDArray[np.float64]


def draw_clients(folder: Folder, title: str) -> list[str]:
    """A histogram of each metric over the clients, as of the last time they were measured.

    Personalised models stand beside the sent one.

    Returns:
        The names written, relative to the run folder.
    """
    tables = [name for name in folder.names(PLACE) if name.endswith(".parquet")]
    if not tables:
        return []
    last = max(tables)
    columns = _read(folder, f"{PLACE}/{last}")
    round = int(last.removeprefix("round-").removesuffix(".parquet"))
    metrics = [name.partition("/")[2] for name in columns if name.startswith(f"{GLOBAL}/")]
    return [_draw(folder, title, metric, columns, round) for metric in metrics]


def bin_edges(values: Floats) -> Floats:
    """Edges of bars that are as wide for 5 values as they are told apart, and finer for many."""
    low, high = float(values.min()), float(values.max())
    if low == high:
        margin = abs(low) / 20 or 0.05
        low, high = low - margin, high + margin
    number = min(40, max(8, round(2 * math.sqrt(len(values)))))
    return np.linspace(low, high, number + 1)


def _draw(
    folder: Folder, title: str, metric: str, columns: Mapping[str, Floats], round: int
) -> str:
    from matplotlib.ticker import MaxNLocator

    shown = [
        (label, color, columns[f"{prefix}/{metric}"])
        for prefix, label, color in (
            (GLOBAL, "global model", TRAIN),
            (PERSONAL, "personalised", VALIDATION),
        )
        if f"{prefix}/{metric}" in columns
    ]
    finite = [(label, color, values[np.isfinite(values)]) for label, color, values in shown]
    canvas = Canvas(title)
    panel = canvas.panel(f"{metric} at a client after round {round}", "clients", counts=False)
    panel.axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    everything = np.concatenate([values for _, _, values in finite])
    if len(everything):
        edges = bin_edges(everything)
        panel.axes.hist(
            [values for _, _, values in finite],
            bins=edges.tolist(),
            color=[color for _, color, _ in finite],
            label=[_label(label, values) for label, _, values in finite],
        )
        for _, color, values in finite:
            if len(values):
                panel.axes.axvline(float(values.mean()), color=color, linewidth=1.2, linestyle="--")
    return canvas.write(folder, f"clients-{metric}")


def _label(label: str, values: Floats) -> str:
    return f"{label}, mean {values.mean():.3g}" if len(values) else label


def _read(folder: Folder, name: str) -> dict[str, Floats]:
    from pyarrow import parquet

    with folder.fs.open(folder.join(name), "rb") as file:
        table = parquet.read_table(file)
    return {column: table[column].to_numpy() for column in table.column_names}
