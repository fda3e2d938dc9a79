"""Holding expectations against what the runs recorded."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from trainwright.compare.expectation.tree import (
    Arithmetic,
    Line,
    Node,
    Number,
    Over,
    Quantity,
    Sign,
    Values,
)
from trainwright.compare.statistics import Estimate, median

PerSeed = dict[int, float]

_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OVER: dict[str, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: Estimate.of(values).mean,
    "median": median,
    "std": lambda values: Estimate.of(values).std,
    "min": lambda values: _extreme(min, values),
    "max": lambda values: _extreme(max, values),
    "lower": lambda values: Estimate.of(values).lower,
    "upper": lambda values: Estimate.of(values).upper,
}


class UnrecordedError(Exception):
    """A run recorded no such quantity; the message says what it did record."""


class Measurements(Protocol):
    """What the runs of a comparison recorded."""

    def seeds(self, variants: Iterable[str]) -> list[int]:
        """The seeds for which the runs of all ``variants`` are finished."""
        ...

    def value(self, quantity: Quantity, variant: str, seed: int) -> float:
        """One quantity of one run.

        Raises:
            UnrecordedError: the run recorded no such thing.
        """
        ...


@dataclass(frozen=True)
class Judgement:
    """A line held against the runs.

    Attributes:
        line: as written.
        holds: whether it is true.
        sides: the value of each side; where a line is about single seeds, their means.
        seeds: number of seeds that were looked at.
        holding: number of them for which it is true; None where sides are single numbers.
        reason: why it could not be told, which counts as not holding; otherwise None.
    """

    line: str
    holds: bool
    sides: list[float]
    seeds: int
    holding: int | None = None
    reason: str | None = None


def judge(line: Line, measurements: Measurements) -> Judgement:
    """Whether a line holds; one that cannot be told does not."""
    seeds = measurements.seeds(line.variants)
    if not seeds:
        names = ", ".join(line.variants)
        reason = f"no seed has finished runs of {names}"
        return Judgement(line.text, False, [], 0, reason=reason)
    try:
        sides = [_evaluate(side, measurements, seeds) for side in line.sides]
    except UnrecordedError as error:
        return Judgement(line.text, False, [], len(seeds), reason=str(error))
    if line.share is None:
        numbers = [side for side in sides if isinstance(side, float)]
        why = _undefined(line, numbers, len(seeds))
        return Judgement(line.text, _in_order(line, numbers), numbers, len(seeds), reason=why)
    columns = [side if isinstance(side, dict) else dict.fromkeys(seeds, side) for side in sides]
    holding = sum(_in_order(line, [column[seed] for column in columns]) for seed in seeds)
    means = [sum(column.values()) / len(column) for column in columns]
    holds = holding >= math.ceil(line.share * len(seeds))
    return Judgement(line.text, holds, means, len(seeds), holding)


def _in_order(line: Line, numbers: Sequence[float]) -> bool:
    """Whether each pair of neighbours compares as the line says; never with NaN."""
    pairs = zip(numbers, line.operators, numbers[1:], strict=False)
    return all(_COMPARE[sign](left, right) for left, sign, right in pairs)


def _undefined(line: Line, numbers: Sequence[float], count: int) -> str | None:
    if not any(math.isnan(number) for number in numbers):
        return None
    if count < 2 and any(side.uses(("std", "lower", "upper")) for side in line.sides):
        return "an interval needs two seeds at least"
    return "a side is not a number"


def _evaluate(node: Node, measurements: Measurements, seeds: Sequence[int]) -> float | PerSeed:
    def inner(part: Node) -> float | PerSeed:
        return _evaluate(part, measurements, seeds)

    if isinstance(node, Number):
        return node.value
    if isinstance(node, Values):
        return {seed: measurements.value(node.quantity, node.variant, seed) for seed in seeds}
    if isinstance(node, Over):
        values = inner(node.inner)
        assert isinstance(values, dict)
        return _OVER[node.function](list(values.values()))
    if isinstance(node, Sign):
        return _each(operator.neg if node.function == "-" else abs, inner(node.inner))
    assert isinstance(node, Arithmetic)
    return _pair(_ARITHMETIC[node.operator], inner(node.left), inner(node.right))


def _extreme(choose: Callable[[Sequence[float]], float], values: Sequence[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else choose(values)


def _each(function: Callable[[float], float], values: float | PerSeed) -> float | PerSeed:
    if isinstance(values, dict):
        return {seed: function(value) for seed, value in values.items()}
    return function(values)


def _pair(
    function: Callable[[float, float], float], left: float | PerSeed, right: float | PerSeed
) -> float | PerSeed:
    """Seed by seed, a single number standing for every seed."""
    if not isinstance(left, dict) and not isinstance(right, dict):
        return function(left, right)
    seeds: Mapping[int, float] = left if isinstance(left, dict) else right  # type: ignore[assignment]
    return {
        seed: function(
            left[seed] if isinstance(left, dict) else left,
            right[seed] if isinstance(right, dict) else right,
        )
        for seed in seeds
    }


def _divided(left: float, right: float) -> float:
    return left / right if right else math.nan


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
}
