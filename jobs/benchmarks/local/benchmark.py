"""Our training loop with the local engine against other loops: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.models import MODELS
from common.words import ratio, repetitions, side, table, verdict

from local import measure

GROUPS = 6
"""How often every side is started anew."""


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every model; of the quick form, the smallest."""
    peers = measure.pythons()
    names, groups = (["mlp"], 1) if quick else (list(MODELS), GROUPS)
    turns = max(1, pairs // groups)
    return [asdict(measure.compare(name, groups, turns, peers)) for name in names]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each model and side."""
    worst = max(result["worst_loss_difference"] for result in results)
    turns = repetitions(results[0]["rows"][1]["wall"])
    columns = "model", "side", "samples/s", "ms per update", "memory grew by, MiB"
    lines = [
        f"{turns} turns of each side. Losses agree to {worst:.1e} in every update. Memory: the "
        "most that was taken, less what was there after the samples and before the model.",
        "",
        *table(
            (*columns, "ours / this", "ratio of CPU time", "goal", "verdict"),
            [_cells(result, row) for result in results for row in result["rows"]],
        ),
    ]
    if missing := results[0]["missing"]:
        lines += ["", f"Not installed and left out: {', '.join(missing)}."]
    return lines


def _cells(result: Mapping[str, Any], row: Mapping[str, Any]) -> tuple[object, ...]:
    judged: tuple[object, ...] = "-", "-", "-", "-"
    if row["wall"] is not None:
        found, goal = row["wall"], row["goal"]
        judged = ratio(found), ratio(row["cpu"]), goal, verdict(found, goal)
    return (
        result["model"],
        row["name"],
        f"{result['batch_size'] / row['update']['median']:,.0f}",
        side(row["update"], 1e3),
        f"{row['grown_bytes'] / 2**20:.1f}",
        *judged,
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [
        (f"local {result['model']} / {row['name']}", row["wall"], row["goal"])
        for result in results
        for row in result["rows"]
        if row["wall"] is not None
    ]


BENCHMARK = Benchmark(
    "local",
    60,
    3,
    run,
    tables,
    ratios,
    peers={"lightning": ("lightning", "torch"), "accelerate": ("accelerate", "torch")},
)
