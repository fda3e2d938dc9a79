"""Methods beside the plain step: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import paired, ratio, side, table, verdict

from costs import layers, methods, topology

FASTEST = 1.0
"""Betti matching shall take no longer than the fastest that can be installed."""


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """All methods; of the quick form, one of each kind."""
    chosen = methods.METHODS[2:3] if quick else methods.METHODS
    sizes = list(topology.SIZES)[: 1 if quick else None]
    return {
        "methods": [asdict(methods.compare(method, pairs)) for method in chosen],
        "layers": [asdict(found) for found in layers.compare(pairs)],
        "topology": [asdict(topology.compare(size, pairs)) for size in sizes],
    }


def tables(results: Mapping[str, Any]) -> list[str]:
    """One table for each kind."""
    return [
        *_methods(results["methods"]),
        "",
        *_layers(results["layers"]),
        "",
        *_topology(results["topology"]),
    ]


def _methods(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = "method", "pairs", "with it, ms per update", "plain, ms", "ratio", "of CPU time"
    return table(
        (*columns, "passes", "ratio over passes", "goal", "verdict"),
        [
            (
                row["name"],
                *paired(row),
                row["bound"],
                ratio(_per_pass(row)),
                row["goal"] or "-",
                verdict(_per_pass(row), row["goal"]) if row["goal"] else "-",
            )
            for row in rows
        ],
    )


def _per_pass(row: Mapping[str, Any]) -> dict[str, float]:
    """The ratio over the number of forward and backward passes that the method needs."""
    return {key: row["ratio"][key] / row["bound"] for key in ("median", "low", "high")}


def _layers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = "ghost batch norm, plain loop", "pairs", "with it, ms per update"
    return table(
        (*columns, "plain batch norm, ms", "ratio", "of CPU time"),
        [
            (
                row["name"],
                row["ratio"]["pairs"],
                side(row["ghost"], 1e3),
                side(row["plain"], 1e3),
                ratio(row["ratio"]),
                ratio(row["cpu"]),
            )
            for row in rows
        ],
    )


def _topology(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    columns = "Betti matching, 8 images", "ours, ms", "topolosses, ms", "ratio", "of CPU time"
    return table(
        (*columns, "goal", "verdict", "losses differ by", "gradients by"),
        [_topology_row(row) for row in rows],
    )


def _topology_row(row: Mapping[str, Any]) -> tuple[object, ...]:
    size = f"{row['size']} x {row['size']}"
    if row["ratio"] is None:
        return size, side(row["ours"], 1e3), "not installed", *["-"] * 6
    return (
        size,
        side(row["ours"], 1e3),
        side(row["theirs"], 1e3),
        ratio(row["ratio"]),
        ratio(row["cpu"]),
        FASTEST,
        verdict(row["ratio"], FASTEST),
        f"{row['difference']:.1e}",
        f"{row['gradient_difference']:.1e}",
    )


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    judged: list[Judged] = [
        (f"costs, {row['name']}", _per_pass(row), row["goal"])
        for row in results["methods"]
        if row["goal"] is not None
    ]
    return judged + [
        (f"costs, Betti matching, {row['size']} pixels", row["ratio"], FASTEST)
        for row in results["topology"]
        if row["ratio"] is not None
    ]


BENCHMARK = Benchmark(
    "costs",
    16,
    2,
    run,
    tables,
    ratios,
    peers={"composer": ("mosaicml", "torch"), "topolosses": ("topolosses", "torch")},
)
