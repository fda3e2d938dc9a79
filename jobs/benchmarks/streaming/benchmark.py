"""Going through a streamed table: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, table, verdict

from streaming import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every table."""
    return [asdict(measure.compare(layout, pairs)) for layout in measure.TABLES]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each table."""

    def rate(row: Mapping[str, Any], name: str) -> str:
        return f"{row['rows'] / row[name]['median'] / 1e6:.2f}"

    columns = "table", "pairs", "ours, million rows/s", "bare scan", "scan, views", "Ray Data"
    ratios = "ratio to the scan", "goal", "verdict", "ratio to Ray Data", "goal", "verdict"
    return table(
        (*columns, *ratios, "ratio to the scan of views"),
        [
            (
                row["table"],
                row["scan"]["pairs"],
                *(rate(row, name) for name in ("ours", "bare", "bare_views", "ray_s")),
                ratio(row["scan"]),
                f"{row['goal']:.2f}",
                verdict(row["scan"], row["goal"]),
                ratio(row["ray"]),
                row["ray_goal"],
                verdict(row["ray"], row["ray_goal"]),
                ratio(row["views"]),
            )
            for row in results
        ],
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [(f"streaming, {row['table']}", row["scan"], row["goal"]) for row in results]


BENCHMARK = Benchmark("streaming", 40, 5, run, tables, ratios)
