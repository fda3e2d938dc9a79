"""What became of a sweep."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from trainwright.orchestration.result import RunResult
from trainwright.plain import plain_json
from trainwright.search.goals import Judge
from trainwright.search.trials import Segment, Trial


@dataclass(frozen=True)
class TrialRow:
    """One trial in the table of a sweep.

    Attributes:
        number: counted from 0 in the order of proposals.
        state: what became of it.
        assignment: its values.
        values: what it is judged by, quantity -> value.
        run: name of its run; None if it never began.
        steps: updates finished, or rounds.
        seconds: training time.
        error: the first line of why it failed or was refused.
        parts: of a member of a population: which values it had from which update on.
    """

    number: int
    state: str
    assignment: dict[str, Any]
    values: dict[str, float]
    run: str | None
    steps: int
    seconds: float
    error: str
    parts: list[Segment] = field(default_factory=list)


@dataclass(frozen=True, repr=False)
class Sweep(RunResult):
    """What became of a sweep.

    Attributes:
        goals: what trials are judged by, quantity -> ``max`` or ``min``.
        trials: all of them, in their order.
        best: numbers of trials, best first; for several goals those of the Pareto front.
    """

    goals: dict[str, str] = field(default_factory=dict)
    trials: list[TrialRow] = field(default_factory=list)
    best: list[int] = field(default_factory=list)

    @property
    def winner(self) -> TrialRow | None:
        """The best trial by the first goal; None where no trial was trained to its end."""
        by_number = {row.number: row for row in self.trials}
        return by_number[self.best[0]] if self.best else None

    @property
    def exit_status(self) -> int:
        """1 where no trial was trained to its end."""
        return 0 if self.best else 1

    def counts(self) -> dict[str, int]:
        """State -> number of trials."""
        found: dict[str, int] = {}
        for row in self.trials:
            found[row.state] = found.get(row.state, 0) + 1
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values, as ``trainwright run --json`` prints them."""
        return {
            **super().to_json(),
            "goals": self.goals,
            "best": self.best,
            "trials": plain_json([asdict(row) for row in self.trials]),
        }


def so_far(result: Sweep, total: int | None) -> str:
    """How far an interrupted sweep came, in words.

    Args:
        result: what became of it.
        total: trials that there will be, if that is known.
    """
    of = f" of {total}" if total is not None else ""
    told = [f"with {result.steps}{of} trials ended"]
    left = result.counts().get("interrupted", 0)
    if left:
        told.append(f"{left} on the way, with checkpoints")
    best = result.winner
    if best is not None:
        name = next(iter(result.goals))
        told.append(f"best so far: {name} {best.values[name]:.4g} by trial {best.number}")
    return "; ".join(told)


def rows_of(trials: list[Trial], judge: Judge) -> list[TrialRow]:
    """The rows of the table."""
    return [
        TrialRow(
            number=trial.number,
            state=trial.state,
            assignment=dict(trial.assignment),
            values={
                goal.name: value for goal in judge.goals if (value := goal.of(trial)) is not None
            },
            run=trial.run,
            steps=trial.step,
            seconds=trial.seconds,
            error=trial.reason,
            parts=list(trial.segments),
        )
        for trial in trials
    ]


def best_of(trials: list[Trial], judge: Judge) -> list[Trial]:
    """The finished trials, best first; for several goals those of the Pareto front.

    With several goals the one that is best in the first of them stands first.
    """
    if len(judge.goals) > 1:
        return judge.front(trials)
    return [trial for trial in judge.ranked(trials) if trial.state == "finished"]
