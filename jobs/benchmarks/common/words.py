"""Numbers and tables as RESULTS.md has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [f"| {' | '.join(map(str, cells))} |" for cells in (columns, *rows)]
    return [lines[0], "|---" * len(columns) + "|", *lines[1:]]


def ratio(value: Mapping[str, Any]) -> str:
    """Median and interval."""
    return f"{value['median']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def side(value: Mapping[str, Any], factor: float = 1.0) -> str:
    """Median and quartiles."""
    median, low, high = (value[key] * factor for key in ("median", "low", "high"))
    return f"{median:.2f} ({low:.2f} to {high:.2f})"


def repetitions(value: Mapping[str, Any]) -> str:
    """How many pairs, and of how many groups of processes where there are several."""
    groups = value["groups"]
    return str(value["pairs"]) if groups == 1 else f"{groups} x {value['pairs'] // groups}"


def paired(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Five cells of two sides that worked in pairs: how often, both in ms, both clocks' ratios."""
    return (
        repetitions(row["ratio"]),
        side(row["ours"], 1e3),
        side(row["bare"], 1e3),
        ratio(row["ratio"]),
        ratio(row["cpu"]),
    )


def verdict(value: Mapping[str, Any], goal: float) -> str:
    """Whether the goal is met: by the interval's upper end."""
    if value["high"] <= goal:
        return "met"
    if value["median"] <= goal:
        return "missed by the upper end"
    return "missed" if value["low"] > goal else "missed, not certain"
