"""What trials are judged by: which is best, and which are on the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainwright.search.trials import JUDGED, Trial


@dataclass(frozen=True)
class Goal:
    """One quantity that trials are judged by.

    Attributes:
        name: its name.
        highest: whether more of it is better.
        at: which value of a trial counts.
    """

    name: str
    highest: bool
    at: Literal["last", "best"] = "last"

    def of(self, trial: Trial) -> float | None:
        """The value of a trial; None where it has none."""
        return trial.value(self.name, self.at, highest=self.highest)

    def __str__(self) -> str:
        return f"{self.name} ({'highest' if self.highest else 'lowest'})"


@dataclass(frozen=True)
class Judge:
    """Compares trials.

    Attributes:
        goals: at least one; the first decides alone where one number is needed.
    """

    goals: tuple[Goal, ...]

    @property
    def first(self) -> Goal:
        """The goal that schedulers and single winners go by."""
        return self.goals[0]

    def values(self, trial: Trial) -> list[float] | None:
        """The values of a trial for all goals; None where one is missing."""
        found = [goal.of(trial) for goal in self.goals]
        known = [value for value in found if value is not None]
        return known if len(known) == len(found) else None

    def ranked(self, trials: Sequence[Trial]) -> list[Trial]:
        """The finished trials, best first by the first goal; the rest of the judged ones after.

        A trial that was stopped on its way has a value of a shorter training, so that it cannot
        win over one that was trained to its end.
        """
        judged = [t for t in trials if t.state in JUDGED and self.first.of(t) is not None]
        sign = -1 if self.first.highest else 1

        def key(trial: Trial) -> tuple[bool, float, int]:
            value = self.first.of(trial)
            assert value is not None
            return trial.state != "finished", sign * value, trial.number

        return sorted(judged, key=key)

    def front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The finished trials that no other one equals or beats in all goals and beats in one."""
        signs = [-1 if goal.highest else 1 for goal in self.goals]
        known = [
            (trial, [sign * value for sign, value in zip(signs, values, strict=True)])
            for trial in trials
            if trial.state == "finished" and (values := self.values(trial)) is not None
        ]
        kept = non_dominated([costs for _, costs in known])
        front = [one for one, keeps in zip(known, kept, strict=True) if keeps]
        return [trial for trial, _ in sorted(front, key=lambda one: one[1])]


def non_dominated(points: Sequence[Sequence[float]]) -> list[bool]:
    """Which points no other one equals or beats in all coordinates and beats in one.

    Args:
        points: the coordinates of each, less being better.
    """
    return [not any(_dominates(other, point) for other in points) for point in points]


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and list(one) != list(other)
