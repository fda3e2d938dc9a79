"""What the memory settings of our workers give: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, side, table

from memory import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every size of the update."""
    return [asdict(measure.compare(samples, pairs)) for samples in measure.SAMPLES]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each size of the update."""
    columns = "samples per update", "pairs", "with, ms per update", "without, ms", "ratio"
    return table(
        (*columns, "peak with, MiB", "peak without, MiB"),
        [
            (
                row["samples"],
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                *(f"{row[peak] / 2**20:.0f}" for peak in ("ours_peak", "bare_peak")),
            )
            for row in results
        ],
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [(f"memory, {row['samples']} samples", row["ratio"], row["goal"]) for row in results]


BENCHMARK = Benchmark("memory", 20, 3, run, tables, ratios)
