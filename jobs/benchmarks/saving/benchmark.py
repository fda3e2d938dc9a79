"""Training while a checkpoint is written: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.words import ratio, side, table, verdict

from saving import measure


def run(pairs: int, quick: bool) -> list[dict[str, Any]]:
    """Every place."""
    return [asdict(measure.compare(place, pairs)) for place in measure.PLACES]


def tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each place."""
    columns = "place", "MB", "pairs", "while writing, ms per update", "without, ms", "ratio"
    return table(
        (
            *(*columns, "goal", "verdict", "pause, ms", "written in, s", "updates meanwhile"),
            *("processor time of ours besides training, s", "of the server, s"),
        ),
        [
            (
                row["place"],
                round(row["size_bytes"] / 1e6),
                row["ratio"]["pairs"],
                side(row["ours"], 1e3),
                side(row["bare"], 1e3),
                ratio(row["ratio"]),
                row["goal"],
                verdict(row["ratio"], row["goal"]),
                side(row["pause"], 1e3),
                side(row["writing"]),
                row["updates"],
                *(side(row[key]) if row.get(key) else "-" for key in ("background", "server")),
            )
            for row in results
        ],
    )


def ratios(results: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """For the common figure."""
    return [(f"saving, {row['place']}", row["ratio"], row["goal"]) for row in results]


BENCHMARK = Benchmark("saving", 14, 2, run, tables, ratios)
