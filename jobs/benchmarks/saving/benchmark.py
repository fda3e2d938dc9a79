"""Training while a checkpoint is written, and checkpoints by size: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.benchmark import Benchmark, Judged
from common.plots import figure
from common.words import ratio, side, table, verdict

from saving import measure, sizes

DRAWN = {"stall": "pause of training", "written": "written in", "restore": "restored in"}


def run(pairs: int, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """Training meanwhile, and all sizes."""
    return {
        "training": [asdict(measure.compare(place, pairs)) for place in measure.PLACES],
        "sizes": [asdict(row) for row in sizes.compare(pairs, quick)],
    }


def tables(results: Mapping[str, Any]) -> list[str]:
    """Training meanwhile, a line for each place; and a line for each place, size and way."""
    return [*_training(results["training"]), "", *_sizes(results["sizes"])]


def _sizes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = "place", "MB", "turns", "way", "pause, ms", "written in, s", "MB/s", "restored in, s"
    return table(
        (*columns, "MB/s", "our pause / its", "our writing / its", "our restoring / its"),
        [
            (
                *(row[key] for key in ("place", "megabytes", "turns", "way")),
                side(row["stall"], 1e3),
                side(row["written"]),
                round(row["megabytes"] / row["written"]["median"]),
                side(row["restore"]),
                round(row["megabytes"] / row["restore"]["median"]),
                *(ratio(row[f"{key}_ratio"]) if row[f"{key}_ratio"] else "-" for key in DRAWN),
            )
            for row in rows
        ],
    )


def _training(results: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = "place", "MB", "pairs", "while writing, ms per update", "without, ms", "ratio"
    return table(
        (
            *(*columns, "goal", "verdict", "pause, ms", "written in, s", "updates meanwhile"),
            *("processor time of ours besides training, s", "of the server, s"),
        ),
        [
            (
                row["place"],
                round(row["size_bytes"] / 1e6),
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                row["goal"],
                verdict(row["ratio"], row["goal"]),
                side(row["pause"], 1e3),
                side(row["writing"]),
                row["updates"],
                *(side(row[key]) if row.get(key) else "-" for key in ("background", "server")),
            )
            for row in results
        ],
    )


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    rows = results["training"]
    return [(f"saving, {row['place']}", row["ratio"], row["goal"]) for row in rows]


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Pause, writing and restoring against the size of the state, for each way and place."""
    rows = results["sizes"]
    ways = list(dict.fromkeys(row["way"] for row in rows))
    with figure(file, width=10.0) as drawn:
        panels = drawn.subplots(1, len(DRAWN), sharex=True, sharey=True)
        for axes, (key, title) in zip(panels, DRAWN.items(), strict=True):
            for place, line in zip(measure.PLACES, ("-", "--"), strict=True):
                for number, way in enumerate(ways):
                    chosen = [row for row in rows if (row["place"], row["way"]) == (place, way)]
                    axes.loglog(
                        [row["megabytes"] for row in chosen],
                        [row[key]["median"] for row in chosen],
                        line,
                        marker="o",
                        markersize=3,
                        color=f"C{number}",
                        label=f"{way}, {place}",
                    )
            axes.set_title(title)
            axes.set_xlabel("weights and optimizer state, MB")
        panels[0].set_ylabel("seconds")
        drawn.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)


BENCHMARK = Benchmark("saving", 14, 2, run, tables, ratios, draw)
