"""From a kill to training again: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark
from common.words import side, table

from recovery import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every case; ``pairs`` are kills."""
    return [asdict(measure.measure(case, pairs)) for case in measure.CASES]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each kind of kill."""
    words = {
        "noticed": "noticed",
        "worker": "Ray: new processes",
        "data": "imports, data",
        "engine": "model, engine",
    }
    columns = "killed", "health check", "kills", "seconds to the first update"
    return table(
        (*columns, *(f"{word}, s" for word in words.values()), "goal, s", "verdict"),
        [
            (
                row["case"]["what"],
                "as the README advises" if row["case"]["noticing"] else "Ray's own",
                row["kills"],
                side(row["seconds"]),
                *(f"{row['stages'][stage]:.1f}" for stage in words),
                row["case"]["goal"],
                "met" if row["seconds"]["median"] <= row["case"]["goal"] else "missed",
            )
            for row in results
        ],
    )


BENCHMARK = Benchmark("recovery", 5, 1, run, tables)
