"""What pictures of a sweep are drawn of: its trials, and what they are judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from trainwright.search.space.space import Assignment

State = Literal["finished", "stopped", "failed", "running", "refused", "waiting"]

JUDGED = ("finished", "stopped")
"""States in which a trial has values that say something about its parameters."""


class NothingToSeeError(Exception):
    """There is nothing to draw; the message says why."""


@dataclass(frozen=True)
class Metric:
    """A quantity that trials are judged by.

    Attributes:
        name: its name.
        goal: whether more or less of it is better.
    """

    name: str
    goal: Literal["max", "min"]

    def cost(self, value: float) -> float:
        """The value, or its negative where more is better: less of it is always better."""
        return -value if self.goal == "max" else value

    def __str__(self) -> str:
        return f"{self.name} ({'highest' if self.goal == 'max' else 'lowest'} is best)"


@dataclass(frozen=True)
class TrialRow:
    """One trial.

    Attributes:
        number: counted from 0.
        label: what it is called in legends.
        assignment: parameter -> value; inactive ones are absent.
        state: what became of it; ``stopped`` is the scheduler's doing.
        values: metric -> the value that counts.
        curve: (resource, metric -> value) of each evaluation; the resource is steps or epochs.
    """

    number: int
    label: str
    assignment: Assignment
    state: State
    values: Mapping[str, float] = field(default_factory=dict)
    curve: Sequence[tuple[float, Mapping[str, float]]] = ()

    def value(self, metric: Metric) -> float | None:
        """The value of a metric; None where there is none, or one that is not finite."""
        value = self.values.get(metric.name)
        return value if value is not None and math.isfinite(value) else None

    def points(self, metric: Metric) -> list[tuple[float, float]]:
        """(resource, value) of each evaluation whose value is finite."""
        return [
            (resource, values[metric.name])
            for resource, values in self.curve
            if metric.name in values and math.isfinite(values[metric.name])
        ]


@dataclass(frozen=True)
class Valued:
    """A trial with its value of the metric that is drawn."""

    row: TrialRow
    value: float


def valued(
    rows: Sequence[TrialRow], metric: Metric, states: Sequence[str] = JUDGED
) -> list[Valued]:
    """The trials in some states that have a value, in their order."""
    found = ((row, row.value(metric)) for row in rows if row.state in states)
    return [Valued(row, value) for row, value in found if value is not None]


def best_of(rows: Sequence[TrialRow], metric: Metric) -> Valued | None:
    """The best finished trial; None where none is finished."""
    return min(
        valued(rows, metric, ("finished",)),
        key=lambda one: (metric.cost(one.value), one.row.number),
        default=None,
    )
