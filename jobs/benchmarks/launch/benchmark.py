"""From the command to the first update: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.benchmark import Benchmark, Judged
from common.plots import figure
from common.words import ratio, side, table, verdict

from launch import measure

STAGE_WORDS = {
    "driver": "driver: imports, for us all checks and a pass over samples",
    "init": "driver: until Ray is asked to start, for us the run's record",
    "controller": "Ray: cluster, until the controller's process exists",
    "worker": "Ray: the controller, until worker 0's process exists",
    "data": "worker: imports, process group, data",
    "engine": "worker: model, `deepspeed.initialize`",
    "update": "first update",
    "total": "command to first update",
}


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """Both sides in turn."""
    return asdict(measure.compare(pairs, quick))


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
            [(word, f"{ours[s]:.2f}", f"{bare[s]:.2f}") for s, word in STAGE_WORDS.items()],
        ),
        "",
        *table(
            ("what else is waited for, from the command on", "seconds"),
            [(wait["name"], side(wait["seconds"])) for wait in results["waits"]],
        ),
    ]


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    return [("launch", results["ratio"], results["goal"])]


def draw(results: Mapping[str, Any], file: Path) -> None:
    """The stages of both sides, one behind the other."""
    with figure(file, height=2.8) as drawn:
        axes = drawn.subplots()
        ends = {"ours": 0.0, "bare": 0.0}
        for stage, word in STAGE_WORDS.items():
            if stage != "total":
                seconds = [results[name][stage] for name in ends]
                axes.barh([*ends], seconds, 0.6, left=[*ends.values()], label=word)
                ends = {name: ends[name] + results[name][stage] for name in ends}
        axes.invert_yaxis()
        axes.set_xlabel("seconds from the command on: medians of the stages")
        drawn.legend(loc="outside lower center", ncols=2, fontsize=7, frameon=False)


BENCHMARK = Benchmark("launch", 5, 1, run, tables, ratios, draw)
