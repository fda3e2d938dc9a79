"""PA&DA against uniform paths: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import paired, table, verdict

from paths import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every supernet; of the quick form, the smallest."""
    chosen = measure.SUPERNETS[-1 if quick else 0 :]
    return [asdict(measure.compare(net, pairs)) for net in chosen]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each supernet."""
    columns = "supernet", "pairs", "PA&DA, ms per update", "uniform, ms"
    return table(
        (*columns, "ratio", "ratio of CPU time", "goal", "verdict"),
        [
            (
                row["name"],
                *paired(row),
                row["goal"] or "-",
                verdict(row["ratio"], row["goal"]) if row["goal"] else "-",
            )
            for row in results
        ],
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    judged = [row for row in results if row["goal"] is not None]
    return [(f"paths, {row['name']}", row["ratio"], row["goal"]) for row in judged]


BENCHMARK = Benchmark("paths", 30, 2, run, tables, ratios)
