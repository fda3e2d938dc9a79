"""Our training loop against a bare DeepSpeed loop: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, side, table, verdict

from loop import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every case; of the quick form, one for each model."""
    results = []
    for case in measure.cases(pairs):
        if quick and (case.stage, case.workers) != (0, 1):
            continue
        found = measure.compare(case)
        results.append({**asdict(found), "goal": found.goal})
        print(tables(results)[-1], flush=True)
    return results


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each case."""
    columns = "model", "ZeRO", "workers", "pairs", "ours, ms per update", "bare, ms"
    return table(
        (*columns, "ratio", "ratio of CPU time", "goal", "verdict"),
        [
            (
                *(row["case"][key] for key in ("model", "stage", "workers")),
                row["wall"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["wall"]),
                ratio(row["cpu"]),
                row["goal"],
                verdict(row["wall"], row["goal"]),
            )
            for row in results
        ],
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [
        ("{model}, ZeRO {stage}, workers {workers}".format(**row["case"]), row["wall"], row["goal"])
        for row in results
    ]


BENCHMARK = Benchmark("loop", 60, 3, run, tables, ratios)
