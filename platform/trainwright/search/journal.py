"""The journal of a sweep: what each trial reached, over the numbers of the trials."""

from __future__ import annotations

from collections.abc import Sequence

from typing_extensions import Self

from trainwright.search.goals import Goal, Judge
from trainwright.search.trials import Trial
from trainwright.storage import Folder
from trainwright.tracking import JournalWriter, next_attempt


class SweepJournal:
    """Writes the trials down as they end, in the order of their numbers.

    Each attempt writes all of them again, kept ones too: so its rows do not depend on the order
    in which trials ended, and MLflow, which gets none twice, has one curve.

    Args:
        judge: what trials are judged by.
        folder: of the sweep's own run.
    """

    def __init__(self, judge: Judge, folder: Folder) -> None:
        self._judge = judge
        self._writer = JournalWriter(folder, next_attempt(folder), [], 1)
        self._best: dict[str, float] = {}
        self._next = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Write what is left."""
        self._writer.close()

    def follow(self, trials: Sequence[Trial]) -> None:
        """Write down what has ended since, up to the first trial that has not.

        Args:
            trials: all of them, in the order of their numbers.
        """
        while self._next < len(trials) and trials[self._next].has_ended:
            row = self._row(trials[self._next])
            if row:
                self._writer.metrics(self._next, row)
            self._next += 1

    def _row(self, trial: Trial) -> dict[str, float]:
        """A trial's values, and the best so far; those of a stopped one are of less training."""
        row: dict[str, float] = {}
        for goal in self._judge.goals:
            value = goal.of(trial)
            if trial.state == "finished" and value is not None:
                self._best[goal.name] = _better(goal, self._best.get(goal.name), value)
                row[f"trial/{goal.name}"] = value
                row[f"best/{goal.name}"] = self._best[goal.name]
        return row


def _better(goal: Goal, known: float | None, value: float) -> float:
    if known is None:
        return value
    return max(known, value) if goal.highest else min(known, value)
