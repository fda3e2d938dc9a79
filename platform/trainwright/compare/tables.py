"""The findings of a comparison as rows of text, for the terminal and for ``table.md``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from trainwright.compare.expectation import Judgement
from trainwright.compare.results import Comparison
from trainwright.compare.statistics import Estimate

Cells = tuple[str, ...]


def value_header(result: Comparison) -> Cells:
    """The header of the table of values."""
    return ("quantity", "variant", "mean", "95 % interval", f"minus {result.baseline}", "interval")


def value_rows(result: Comparison) -> Iterator[Cells]:
    """Quantity, variant, mean and interval, paired difference and its interval."""
    before = ""
    for row in result.rows:
        name = "" if row.quantity == before else row.quantity
        before = row.quantity
        yield (name, row.variant, *_shown(row.estimate), *_shown(row.difference, signed=True))


COST_HEADER: Cells = ("variant", "runs", "steps", "ms per step", "cost")


def cost_rows(result: Comparison) -> Iterator[Cells]:
    """Variant, finished runs, updates of a run, time of an update, the same over the baseline's."""
    for cost in result.costs:
        done = len(cost.runs) - len(cost.failed)
        pace = f"{1000 * cost.seconds_per_step:.3g}" if cost.seconds_per_step > 0 else "-"
        ratio = "-" if math.isnan(cost.ratio) else f"{cost.ratio:.2f} x"
        yield (cost.variant, f"{done} of {len(cost.runs)}", str(cost.steps), pace, ratio)


def judgement_text(judgement: Judgement) -> str:
    """What was found of an expectation, in words."""
    if judgement.reason is not None:
        return judgement.reason
    found = " | ".join(number(side) for side in judgement.sides)
    if judgement.holding is not None:
        return f"{judgement.holding} of {judgement.seeds} seeds; means {found}"
    return found


def markdown(result: Comparison) -> str:
    """Everything as one Markdown page."""
    lines = [f"# {result.run}", ""]
    if result.placebo:
        lines += [f"Placebo: the methods' runs are those of {result.baseline}.", ""]
    lines += [f"Means over {result.seeds} seeds; intervals are Student's at 95 %.", ""]
    lines += [*_table(value_header(result), list(value_rows(result))), ""]
    lines += [*_table(COST_HEADER, list(cost_rows(result))), ""]
    for judgement in result.expectations:
        mark = "x" if judgement.holds else " "
        lines.append(f"- [{mark}] `{judgement.line}`: {judgement_text(judgement)}")
    for cost in result.costs:
        lines += [f"- {cost.variant}, seed {s}: {why}" for s, why in cost.failed.items()]
    return "\n".join(lines).rstrip() + "\n"


def _table(header: Cells, rows: Sequence[Cells]) -> list[str]:
    return [
        f"| {' | '.join(header)} |",
        f"|{'---|' * len(header)}",
        *(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows),
    ]


def _shown(estimate: Estimate | None, signed: bool = False) -> tuple[str, str]:
    """Mean and interval, with the digits that the interval's width justifies."""
    if estimate is None or estimate.count == 0:
        return ("-", "-")
    sign = "+" if signed else ""
    half = (estimate.upper - estimate.lower) / 2
    if not math.isfinite(half) or half == 0:
        return (f"{estimate.mean:{sign}.4g}", "-" if math.isnan(half) else "none: all equal")
    digits = min(max(1 - math.floor(math.log10(half)), 0), 8)
    low, high = (f"{end:{sign}.{digits}f}" for end in (estimate.lower, estimate.upper))
    return (f"{estimate.mean:{sign}.{digits}f}", f"{low} to {high}")


def number(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"
