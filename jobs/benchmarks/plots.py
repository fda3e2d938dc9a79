"""The ratios as a figure, for a glance; not part of the repository."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def plot_ratios(rows: Sequence[tuple[str, Mapping[str, Any], float]], file: Path) -> None:
    """Draw each ratio with its interval, and its goal.

    Args:
        rows: label, ratio (``median``, ``low``, ``high``) and goal.
        file: where the image goes; its ending says the format.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.3 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, (_, ratio, goal) in enumerate(rows):
        color = "tab:blue" if ratio["median"] <= goal else "tab:red"
        axes.plot([ratio["low"], ratio["high"]], [place, place], color=color)
        axes.plot(ratio["median"], place, "o", color=color)
        axes.plot([goal, goal], [place - 0.4, place + 0.4], color="black", linewidth=1)
    axes.axvline(1.0, color="grey", linewidth=0.5)
    axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("ours / bare: median and 95 % interval; black: goal")
    figure.savefig(file, dpi=120)


def rows_of(records: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any], float]]:
    """What ``plot_ratios`` draws, from the benchmarks' records."""
    rows: list[tuple[str, Mapping[str, Any], float]] = []
    for record in records:
        results = record["results"]
        if record["name"] in ("recovery", "sweeps"):  # seconds and shares, no ratio
            continue
        if record["name"] == "launch":
            rows.append(("launch", results["ratio"], results["goal"]))
            continue
        if record["name"] == "federated":
            judged = [row for row in results["rows"] if row["goal"] is not None]
            rows += [(row["name"], row["bare"], row["goal"]) for row in judged]
            continue
        for row in results:
            if record["name"] == "memory":
                label = f"memory, {row['samples']} samples"
                rows.append((label, row["ratio"], row["goal"]))
                continue
            if record["name"] == "saving":
                rows.append((f"saving, {row['place']}", row["ratio"], row["goal"]))
                continue
            if record["name"] == "paths":
                if row["goal"] is not None:
                    rows.append((f"paths, {row['name']}", row["ratio"], row["goal"]))
                continue
            if record["name"] == "streaming":
                rows.append((f"streaming, {row['table']}", row["scan"], row["goal"]))
                continue
            case = row["case"]
            label = f"{case['model']}, ZeRO {case['stage']}, workers {case['workers']}"
            rows.append((label, row["wall"], row["goal"]))
    return rows
