"""Weak and strong scaling, and the costs behind PREDICTIONS.md: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from common.benchmark import Benchmark
from common.words import ratio, side, table

from scaling import measure
from scaling.predict import draw


def run(turns: int, quick: bool) -> dict[str, Any]:
    """Every case and cost; of the quick form, one model and the smallest numbers."""
    return asdict(measure.measure(turns, quick))


def tables(results: Mapping[str, Any]) -> list[str]:
    """Efficiencies, and the costs."""
    return [
        f"{results['cores']} cores. Efficiency: samples per second and worker over those of one "
        "worker. Weak: each worker has the samples of one; strong: all share them.",
        "",
        *_scaled(results["scaled"]),
        "",
        "What an update takes on one worker in plain PyTorch:",
        "",
        *_steps(results["costs"]["steps"]),
        "",
        "Costs, from which PREDICTIONS.md computes larger sizes:",
        "",
        *_costs(results["costs"]),
    ]


def _scaled(rows: list[Mapping[str, Any]]) -> list[str]:
    columns = "model", "ZeRO", "workers", "scaling", "ours, ms per update", "samples/s"
    more = "efficiency, ours", "efficiency, bare", "ours / bare"
    return table(
        (*columns, *more),
        [
            (
                row["case"]["model"],
                row["case"]["stage"],
                f"{row['case']['workers']}{', more than cores' if row['oversubscribed'] else ''}",
                row["case"]["way"],
                side(row["seconds"]["ours"], 1e3),
                f"{row['samples_per_second']['ours']:,.0f}",
                ratio(row["efficiency"]["ours"]),
                ratio(row["efficiency"]["bare"]),
                ratio(row["against_bare"]),
            )
            for row in rows
        ],
    )


def _steps(steps: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return table(
        ("model", "weights", "samples", "forward, ms", "backward, ms", "optimizer, ms", "spread"),
        [
            (
                model,
                f"{step['parameters']:,}",
                step["samples"],
                *(side(step[part], 1e3) for part in ("forward", "backward", "optimizer")),
                f"{step['spread']:.1%}",
            )
            for model, step in steps.items()
        ],
    )


def _interval(line: Mapping[str, Any], part: str, factor: float) -> str:
    value, low, high = (line[part + end] * factor for end in ("", "_low", "_high"))
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _costs(costs: Mapping[str, Any]) -> list[str]:
    lines = [
        (f"{way}, {workers} workers, gloo on loopback", "us", line, "ns per byte", 1e9)
        for workers, ways in costs["links"].items()
        for way, line in ways.items()
    ]
    lines += [
        ("copy in memory", "us", costs["copy"], "ns per byte", 1e9),
        ("Ray Train starts workers, all on this machine", "s", costs["launch"], "s each", 1.0),
        ("its controller's processor", "s", costs["launch_controller"], "s each", 1.0),
        ("controller asks its workers, processor", "us", costs["poll"], "us each", 1e6),
        ("manifest, processor of worker 0", "ms", costs["commit"], "us per piece", 1e6),
    ]
    unit = {"s": 1.0, "ms": 1e3, "us": 1e6}
    single = [
        ("message to the board, its processor", "us", costs["board"]),
        ("call of a Ray actor and back", "us", costs["call"]),
        ("vitals of 4,096 workers to the driver", "ms", costs["vitals"]),
        ("look at a wish for places", "us", costs["look"]),
        ("row of the journal, processor", "us", costs["row"]),
        ("batch of 1000 values to MLflow, SQLite", "ms", costs["batch"]),
        ("imports of a worker, processor", "s", costs["imports"]),
    ]
    single += [(f"places for {n} workers", "ms", s) for n, s in costs["places"].items()]
    reporting = ", ".join(f"{n}: {share:.2%}" for n, share in costs["reporting"].items())
    speed = 1 / costs["checkpoint"]["median"] / 1e6
    return [
        *table(
            ("grows with its size", "fixed", "for one more"),
            [
                (what, f"{_interval(c, 'fixed', unit[u])} {u}", f"{_interval(c, 'each', f)} {e}")
                for what, u, c, e, f in lines
                if c is not None
            ],
        ),
        "",
        *table(
            ("does not", "median and quartiles"),
            [(what, f"{side(c, unit[u])} {u}") for what, u, c in single if c is not None],
        ),
        "",
        f"A worker writes a checkpoint to this machine's disk at {speed:,.0f} MB/s. Share of a "
        f"core that the board takes while so many workers report as in a run: {reporting}.",
    ]


BENCHMARK = Benchmark("scaling", 15, 2, run, tables, draw=draw)
