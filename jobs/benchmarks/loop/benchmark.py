"""Our training loop against a bare DeepSpeed loop: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.benchmark import Benchmark, Judged
from common.plots import figure
from common.words import ratio, repetitions, side, table, verdict

from loop import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every case; of the quick form, the smallest."""
    results = []
    groups = 1 if quick else measure.GROUPS
    for case in measure.cases(max(1, pairs // groups)):
        if quick and (case.model, case.stage, case.workers) != ("mlp", 0, 1):
            continue
        found = measure.compare(case, groups)
        results.append(
            {**asdict(found), "goal": found.goal, "units": case.units, "unit": case.unit}
        )
        print(tables(results)[-1], flush=True)
    return results


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each case."""
    columns = "model", "ZeRO", "workers", "pairs", "ours, ms per update", "bare, ms"
    return table(
        (
            *(*columns, "ratio", "ratio of CPU time", "goal", "verdict"),
            *("ours, per second", "bare, per second", "ours, MiB", "bare, MiB"),
        ),
        [
            (
                *(row["case"][key] for key in ("model", "stage", "workers")),
                repetitions(row["wall"]),
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["wall"]),
                ratio(row["cpu"]),
                row["goal"],
                verdict(row["wall"], row["goal"]),
                *(_rate(row, name) for name in ("ours", "bare")),
                *(f"{row[f'{name}_growth'] / 2**20:.0f}" for name in ("ours", "bare")),
            )
            for row in results
        ],
    )


def _rate(row: Mapping[str, Any], name: str) -> str:
    return f"{row['units'] / row[name]['median']:,.0f} {row['unit']}"


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [
        ("{model}, ZeRO {stage}, workers {workers}".format(**row["case"]), row["wall"], row["goal"])
        for row in results
    ]


def draw(results: Sequence[Mapping[str, Any]], file: Path) -> None:
    """A panel for each model: the ratio of each case with its interval, and the goal."""
    models = list(dict.fromkeys(row["case"]["model"] for row in results))
    with figure(file, height=3.2) as drawn:
        panels = drawn.subplots(1, len(models), sharey=True, squeeze=False)[0]
        for axes, model in zip(panels, models, strict=True):
            rows = [row for row in results if row["case"]["model"] == model]
            for place, row in enumerate(rows):
                for key, color, offset in (("wall", "tab:blue", -0.12), ("cpu", "tab:grey", 0.12)):
                    value, x = row[key], place + offset
                    axes.plot([x, x], [value["low"], value["high"]], color=color)
                    axes.plot(x, value["median"], "o", color=color, markersize=4)
            axes.axhline(1.0, color="grey", linewidth=0.5)
            axes.axhline(rows[0]["goal"], color="black", linewidth=1)
            names = ["{stage}\n{workers}".format(**row["case"]) for row in rows]
            axes.set_xticks(range(len(rows)), names)
            axes.set_title(model)
        panels[0].set_xlabel("ZeRO stage, below it workers")
        panels[0].set_ylabel("ours / bare (blue: time, grey: CPU time)")


BENCHMARK = Benchmark("loop", 32, 3, run, tables, ratios, draw)
