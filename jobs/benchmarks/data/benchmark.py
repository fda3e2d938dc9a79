"""Batches of samples in memory and from files: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, repetitions, side, table, verdict

from data import measure

WITHOUT_PEERS = (
    "StatefulDataLoader and datasets were left out, for their environment could not be made: "
    "`make peers` tries again and says why."
)


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """All cases; of the quick form, the first without the slow sides."""
    cases = measure.CASES[:1] if quick else measure.CASES
    return [asdict(measure.compare(case, pairs, with_slow=not quick)) for case in cases]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One table for each case."""
    lines = []
    for result in results:
        lines += [f"{result['case']}: {result['rows']:,} rows, batches of 256.", ""]
        lines += [*_table(result), ""]
    if any(row["epoch"] is None for result in results for row in result["sides"]):
        lines += [WITHOUT_PEERS, ""]
    return lines[:-1]


def _table(result: Mapping[str, Any]) -> list[str]:
    columns = "side", "shuffles", "ms per epoch", "million rows/s", "ratio of ours to it", "pairs"
    return table(
        (*columns, "goal", "verdict", "resumes at", "resumed in, ms"),
        [
            (row["name"], row["order"], *_pace(row, result["rows"]), *_ratio(row), *_resumed(row))
            for row in result["sides"]
        ],
    )


def _pace(row: Mapping[str, Any], rows: int) -> tuple[str, str]:
    if row["epoch"] is None:
        return "not installed", "-"
    return side(row["epoch"], 1e3), f"{rows / row['epoch']['median'] / 1e6:.2f}"


def _ratio(row: Mapping[str, Any]) -> tuple[object, ...]:
    if row["ratio"] is None:
        return ("-",) * 4
    told = ratio(row["ratio"]), repetitions(row["ratio"])
    if row["goal"] is None:
        return (*told, "-", "-")
    return (*told, f"{row['goal']:.2f}", verdict(row["ratio"], row["goal"]))


def _resumed(row: Mapping[str, Any]) -> tuple[str, str]:
    if row["resumed"] is None:
        return "-", "-"
    return "the next batch" if row["is_exact"] else "other rows", side(row["resumed"], 1e3)


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """Every ratio with a goal, for the common figure."""
    return [
        (f"{result['case']}: {row['name']}", row["ratio"], row["goal"])
        for result in results
        for row in result["sides"]
        if row["goal"] is not None and row["ratio"] is not None
    ]


BENCHMARK = Benchmark(
    "data",
    12,
    2,
    run,
    tables,
    ratios,
    peers={"data": ("torchdata", "datasets", "torch", "pyarrow")},
)
