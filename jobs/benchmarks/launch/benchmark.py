"""From the command to the first update: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, side, table, verdict

from launch import measure

STAGE_WORDS = {
    "driver": "driver: imports, for us all checks and a pass over samples",
    "worker": "Ray: cluster, controller, until worker 0's process exists",
    "data": "worker: imports, process group, data",
    "engine": "worker: model, `deepspeed.initialize`",
    "update": "first update",
    "total": "command to first update",
}


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """Both sides in turn."""
    return asdict(measure.compare(pairs))


def tables(results: Mapping[str, Any]) -> list[str]:
    """The ratio, and where the seconds go."""
    wall, goal = results["ratio"], results["goal"]
    ours, bare = results["ours"], results["bare"]
    return [
        f"Ratio {ratio(wall)} over {wall['pairs']} pairs, goal {goal}: {verdict(wall, goal)}. "
        f"Command to first update: ours {side(results['ours_s'])} s, bare "
        f"{side(results['bare_s'])} s. The first launch, in an empty storage (not counted): "
        f"{results['first'][0]:.1f} s and {results['first'][1]:.1f} s.",
        "",
        *table(
            ("stage, median seconds", "ours", "bare"),
            [(word, f"{ours[s]:.1f}", f"{bare[s]:.1f}") for s, word in STAGE_WORDS.items()],
        ),
    ]


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    return [("launch", results["ratio"], results["goal"])]


BENCHMARK = Benchmark("launch", 7, 1, run, tables, ratios)
