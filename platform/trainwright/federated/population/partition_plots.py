"""Pictures of a partition: which classes clients have, and how many samples."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from trainwright.compare.plots import COLORS
from trainwright.data.table import Table
from trainwright.federated.partition import Ints, Partition
from trainwright.federated.population.partitioning import class_column
from trainwright.storage import Folder
from trainwright.tracking.settings import run_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "plots/clients.png"

MOST_CLIENTS = 50
"""Clients that are drawn one by one; of more, so many evenly over their numbers."""

MOST_SIZES = 100_000
"""Clients whose sizes are counted; of more, so many evenly over their numbers."""

MOST_BARS = 10
"""Classes that can be told apart by colour; more of them are a map."""

_COLORS = (*COLORS[1:], "#9aa34a", "#c48fb0", COLORS[0])


def plot_partition(folder: Folder, partition: Partition, table: Table) -> str:
    """Draw classes and sizes of the clients into a run's folder.

    Returns:
        The name of the picture.
    """
    content = io.BytesIO()
    partition_figure(run_name(folder), partition, table).savefig(content, format="png")
    folder.write_bytes(NAME, content.getvalue())
    return NAME


def partition_figure(title: str, partition: Partition, table: Table) -> Figure:
    """Classes of the clients on the left, their sizes on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.4), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, color="#444444")
    _draw_classes(left, partition, table)
    _draw_sizes(right, partition)
    for axes in (left, right):
        axes.set_axisbelow(True)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    return figure


def spread(num_clients: int, most: int) -> Ints:
    """At most so many clients, evenly over their numbers, the first and the last among them."""
    if num_clients <= most:
        return np.arange(num_clients)
    steps: Ints = np.arange(most, dtype=np.int64) * (num_clients - 1) // (most - 1)
    return steps


def class_counts(partition: Partition, labels: Ints, num_classes: int, clients: Ints) -> Ints:
    """Rows of each class that some clients have, (classes, clients)."""
    counts = [
        np.bincount(labels[partition.rows(int(client)).numpy()], minlength=num_classes)
        for client in clients
    ]
    return np.stack(counts, axis=1).astype(np.int64, copy=False)


def _draw_classes(axes: Axes, partition: Partition, table: Table) -> None:
    clients = spread(partition.num_clients, MOST_CLIENTS)
    axes.set_xlabel(_counted("client", len(clients), partition.num_clients))
    target = class_column(table)
    if target is None:
        axes.bar(range(len(clients)), partition.sizes(clients), color=_COLORS[0], width=0.85)
        axes.set_ylabel("samples")
    else:
        num_classes = table.columns[target].num_classes or 0
        counts = class_counts(partition, table.tensors[target].numpy(), num_classes, clients)
        names = [str(name) for name in table.columns[target].labels or range(num_classes)]
        (_draw_bars if num_classes <= MOST_BARS else _draw_map)(axes, counts, target, names)
    places = range(0, len(clients), -(-len(clients) // (10 if clients[-1] < 10_000 else 5)))
    axes.set_xticks(places, [f"{clients[place]:,}" for place in places])
    axes.set_xlim(-0.6, len(clients) - 0.4)


def _draw_bars(axes: Axes, counts: Ints, target: str, names: list[str]) -> None:
    """One bar for each client, its classes one upon another."""
    below = np.cumsum(counts, axis=0) - counts
    for number, name in enumerate(names):
        axes.bar(
            range(counts.shape[1]),
            counts[number],
            bottom=below[number],
            color=_COLORS[number % len(_COLORS)],
            width=0.85,
            label=name,
        )
    axes.set_ylabel("samples")
    axes.grid(True, axis="y", color="#e4e4e4", linewidth=0.8)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        title=target,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        fontsize=8,
        title_fontsize=8,
    )


def _draw_map(axes: Axes, counts: Ints, target: str, names: list[str]) -> None:
    """Clients across, classes up, samples in colour."""
    image = axes.pcolormesh(
        np.arange(counts.shape[1] + 1) - 0.5,
        np.arange(counts.shape[0] + 1) - 0.5,
        np.ma.masked_equal(counts, 0),
        cmap="Blues",
        vmin=0,
    )
    figure = axes.get_figure()
    assert figure is not None
    figure.colorbar(image, ax=axes, label="samples")
    places = range(0, len(names), -(-len(names) // 20))
    axes.set_yticks(places, [names[place] for place in places], fontsize=8)
    axes.set_ylabel(target)


def _draw_sizes(axes: Axes, partition: Partition) -> None:
    from matplotlib.ticker import MaxNLocator

    clients = spread(partition.num_clients, MOST_SIZES)
    sizes = partition.sizes(clients)
    high = int(sizes.max())
    width = -(-(high + 1) // 40)
    axes.hist(sizes, bins=(np.arange(0, high + width + 1, width) - 0.5).tolist(), color=COLORS[2])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(left=0)
    axes.set_xlabel("samples of a client")
    axes.set_ylabel(_counted("clients", len(clients), partition.num_clients))
    axes.grid(True, axis="y", color="#e4e4e4", linewidth=0.8)


def _counted(noun: str, shown: int, there_are: int) -> str:
    """The label of an axis, which says it where not all are shown."""
    return noun if shown == there_are else f"{noun} ({shown:,} of {there_are:,} are shown)"
