"""A federation against bare loops and Flower: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark, Judged
from common.peers import python_of
from common.words import ratio, side, table, verdict

from federated import costs, measure

WITHOUT_FLOWER = (
    "Flower was left out, for its environment could not be made: `make peers` tries again and "
    "says why."
)


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """All sides, and the costs of rounds of other sizes; of the quick form, of one size."""
    sizes = costs.SIZES[: 1 if quick else None]
    return {
        **asdict(measure.compare(pairs, flower=python_of("flower"))),
        "costs": [asdict(row) for row in costs.costs(max(pairs // 4, 1), sizes)],
    }


def tables(results: Mapping[str, Any]) -> list[str]:
    """All sides, and the costs of rounds of other sizes."""
    rows = results["rows"]
    lines = [
        f"{results['clients']} clients in each round, {rows[0]['bare']['pairs']} turns of each; "
        f"accuracy on all samples after {results['rounds']} rounds; start: from the command to the "
        "end of the first round.",
        "",
        *_sides(rows, results["clients"]),
        "",
    ]
    if all(row["flower"] is None for row in rows):
        lines += [WITHOUT_FLOWER, ""]
    return [*lines, *_costs(results["costs"])]


def _sides(rows: list[Mapping[str, Any]], clients: int) -> list[str]:
    columns = "side", "ms per round", "clients/s", "ratio to the bare loop", "goal", "verdict"
    return table(
        (*columns, "ratio to Flower", "goal", "verdict", "start, s", "accuracy"),
        [
            (
                row["name"],
                side(row["round"], 1e3),
                f"{clients / row['round']['median']:.0f}",
                *_judged(row["bare"], row["goal"]),
                *_judged(row["flower"], row["flower_goal"]),
                f"{row['start_s']:.1f}",
                f"{row['accuracy']:.3f}",
            )
            for row in rows
        ],
    )


def _judged(value: Mapping[str, Any] | None, goal: float | None) -> tuple[str, str, str]:
    """A ratio, its goal, and whether it is met."""
    if value is None:
        return "-", "-", "-"
    if goal is None:
        return ratio(value), "-", "-"
    return ratio(value), f"{goal:.3f}", verdict(value, goal)


def _costs(rows: list[Mapping[str, Any]]) -> list[str]:
    """One line for each size, a few columns for each way to train clients."""
    columns = ["clients there are", "clients in a round"]
    for way in rows[0]["rounds"]:
        columns += [f"{way}: ms per round", "ms per client", "start, s"]
    return table(
        columns,
        [
            (
                f"{row['population']:,}",
                f"{row['cohort']:,}",
                *(
                    cell
                    for way, took in row["rounds"].items()
                    for cell in (
                        side(took, 1e3),
                        f"{1e3 * took['median'] / row['cohort']:.3f}",
                        f"{row['start_s'][way]:.1f}",
                    )
                ),
            )
            for row in rows
        ],
    )


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    judged = [row for row in results["rows"] if row["goal"] is not None]
    return [(f"federated, {row['name']}", row["bare"], row["goal"]) for row in judged]


BENCHMARK = Benchmark("federated", 40, 4, run, tables, ratios, peers={"flower": ("flwr", "torch")})
