"""Output layers at many classes: what ``run_all.py`` runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.benchmark import Benchmark, Judged
from common.plots import figure
from common.words import ratio, side, table, verdict

from classes import exact, measure, workers

WORDS = {
    "log_softmax": "log-softmax",
    "full_z_loss": "Z-loss, all outputs",
    "adaptive": "adaptive softmax",
    "hierarchical": "hierarchical softmax",
    "ours": "`spherical_output`",
}
AGREED_AT = (5_000, 1_000)
"""Classes at which our layer is held against the ordinary one, in the full and the quick form."""

DRIFT = (([100, 1_000, 10_000], [100_000, 128]), ([10, 100], [10_000, 64]))
"""Steps after which errors are looked at, and classes and features, likewise."""


def run(pairs: int, quick: bool) -> dict[str, Any]:
    """Every case; of the quick form, the smallest ones."""
    classes = measure.CLASSES[:2] if quick else measure.CLASSES
    widths = measure.WIDTHS[:1] if quick else measure.WIDTHS
    cases = [
        (num_classes, width, pairs if num_classes < max(measure.CLASSES) else max(pairs // 4, 2))
        for width in widths
        for num_classes in classes
    ]
    agreed_at = AGREED_AT[quick]
    marks, drift_of = DRIFT[quick]
    drifts = measure.in_a_process(exact.drift, marks, *drift_of)
    return {
        "agreed_at": agreed_at,
        "agreement": [asdict(row) for row in measure.in_a_process(exact.agreements, agreed_at)],
        "layers": [asdict(measure.compare(*case)) for case in cases],
        "workers": [asdict(workers.compare(*case)) for case in cases],
        "drift": [asdict(row) for row in drifts],
        "drift_of": drift_of,
    }


def goal_of(row: Mapping[str, Any]) -> float | None:
    """What our time shall not exceed in those of the log-softmax; None where there is no goal."""
    return measure.GOAL if row["classes"] == max(measure.CLASSES) else None


def tables(results: Mapping[str, Any]) -> list[str]:
    """The layer, how flat it is, whole workers, agreement and drift."""
    return [
        *_layers(results["layers"]),
        "",
        *_flatness(results),
        "",
        *_workers(results["workers"]),
        "",
        *_agreement(results),
        "",
        *_drift(results),
    ]


def _layers(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    columns = ("d", "classes", "turns", *(f"{word}, ms per step" for word in WORDS.values()))
    others = [name for name in WORDS if name != "ours"]
    ratios = (f"ours / {WORDS[name]}" for name in others)
    return table(
        (*columns, *ratios, "goal for log-softmax", "verdict"),
        [
            (
                row["width"],
                f"{row['classes']:,}",
                row["ratios"]["log_softmax"]["pairs"],
                *(side(row["times"][name], 1e3) for name in WORDS),
                *(_fine(row["ratios"][name]) for name in others),
                f"1/{1 / goal:.0f}" if (goal := goal_of(row)) else "-",
                verdict(row["ratios"]["log_softmax"], goal) if goal else "-",
            )
            for row in rows
        ],
    )


def _fine(value: Mapping[str, Any]) -> str:
    """Ratios down to a thousandth, with the digits that those need."""
    return ratio(value) if value["median"] >= 0.1 else _four_digits(value)


def _four_digits(value: Mapping[str, Any]) -> str:
    return f"{value['median']:.4f} [{value['low']:.4f}, {value['high']:.4f}]"


def curves(results: Mapping[str, Any]) -> dict[str, dict[int, dict[int, float]]]:
    """Our seconds by what was measured, features and classes."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    for row in results["layers"]:
        seen = {"the layer": row["times"]["ours"]["median"]}
        seen["the layer, without memory access"] = row["floor"]
        for what, seconds in seen.items():
            found.setdefault(what, {}).setdefault(row["width"], {})[row["classes"]] = seconds
    for row in results["workers"]:
        for precision, value in row["times"].items():
            of_width = found.setdefault(f"a whole worker, {precision}", {})
            of_width.setdefault(row["width"], {})[row["classes"]] = value["median"]
    return found


def _flatness(results: Mapping[str, Any]) -> list[str]:
    columns = "ours", "d", "exponent of the classes", "longest / at the fewest classes"
    goals = {"the layer, without memory access": measure.FLAT}
    lines = []
    for what, widths in curves(results).items():
        for width, seconds in widths.items():
            worst = max(seconds.values()) / seconds[min(seconds)]
            goal = goals.get(what)
            judged = ("-", "-") if goal is None else (goal, "met" if worst <= goal else "missed")
            exponent = f"{measure.slope(seconds):+.4f}"
            lines.append((what, width, exponent, f"{worst:.3f}", *judged))
    return table((*columns, "goal", "verdict"), lines)


def _workers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return table(
        ("d", "classes", *(f"whole worker, {p}, ms per update" for p in rows[0]["times"])),
        [
            (
                row["width"],
                f"{row['classes']:,}",
                *(side(value, 1e3) for value in row["times"].values()),
            )
            for row in rows
        ],
    )


def _agreement(results: Mapping[str, Any]) -> list[str]:
    first = f"ordinary layer of {results['agreed_at']:,} classes in"
    columns = first, "steps", "times multiplied out", "largest error of dL/dh"
    return table(
        (*columns, "error of the weights", "tolerance, asserted"),
        [
            (
                *(row[key] for key in ("precision", "steps", "folds")),
                *(f"{row[key]:.0e}" for key in ("gradient_error", "weight_error", "tolerance")),
            )
            for row in results["agreement"]
        ],
    )


def _drift(results: Mapping[str, Any]) -> list[str]:
    num_classes, width = results["drift_of"]
    return table(
        (
            f"steps at {num_classes:,} classes, d {width}",
            "relative error of the kept W^T 1",
            "of the kept W^T W",
            "times multiplied out",
        ),
        [
            (
                f"{row['steps']:,}",
                *(f"{row[key]:.0e}" for key in ("sums_error", "gram_error")),
                row["folds"],
            )
            for row in results["drift"]
        ],
    )


def ratios(results: Mapping[str, Any]) -> list[Judged]:
    """For the common figure."""
    return [
        (f"classes, {row['classes']:,}, d {row['width']}", row["ratios"]["log_softmax"], goal)
        for row in results["layers"]
        if (goal := goal_of(row))
    ]


def draw(results: Mapping[str, Any], file: Path) -> None:
    """Seconds per step against the number of classes."""
    widths = sorted({row["width"] for row in results["layers"]})
    with figure(file, width=3.5 * len(widths) + 1.5) as drawn:
        parts = drawn.subplots(1, len(widths), sharey=True, squeeze=False)[0]
        for axes, width in zip(parts, widths, strict=True):
            rows = [row for row in results["layers"] if row["width"] == width]
            for name, word in WORDS.items():
                points = [(row["classes"], 1e3 * row["times"][name]["median"]) for row in rows]
                axes.loglog(*zip(*points, strict=True), "o-", label=word.strip("`"), markersize=3)
            whole = [row for row in results["workers"] if row["width"] == width]
            points = [(row["classes"], 1e3 * row["times"]["fp32"]["median"]) for row in whole]
            label = "spherical_output, whole worker"
            axes.loglog(*zip(*points, strict=True), "s--", label=label, markersize=3)
            axes.set_title(f"d = {width}")
            axes.set_xlabel("classes")
        parts[0].set_ylabel("ms per step")
        parts[0].legend(fontsize=7)


BENCHMARK = Benchmark("classes", 12, 2, run, tables, ratios, draw)
