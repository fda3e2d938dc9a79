"""The trials of a sweep: what was tried, what came of it, kept in a file each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from trainwright.errors import RunError
from trainwright.search.space.space import Space
from trainwright.storage import Folder

TRIALS = "trials"
"""Folder inside the sweep's own: a file for each trial."""

State = Literal["waiting", "running", "finished", "stopped", "failed", "refused", "interrupted"]

ENDED: tuple[State, ...] = ("finished", "stopped", "failed", "refused")
"""States in which nothing more happens to a trial."""

JUDGED: tuple[State, ...] = ("finished", "stopped")
"""States in which a trial has values worth learning from."""


@dataclass
class Milestone:
    """An evaluation in the course of a trial.

    Attributes:
        step: updates finished, or rounds.
        epoch: the same in epochs.
        metrics: what it gave.
        is_last: whether training ends with it.
    """

    step: int
    epoch: float
    metrics: dict[str, float]
    is_last: bool = False


@dataclass
class Segment:
    """A part of a trial that was trained with the same values; only a population has several.

    Attributes:
        run: the run's folder under the sweep's storage; None before it has reported anything.
        assignment: the values.
        start_from: URL of a run's folder and a checkpoint, with which it begins.
        step: updates that had been finished at its beginning.
    """

    run: str | None
    assignment: dict[str, Any]
    start_from: tuple[str, str] | None = None
    step: int = 0


@dataclass
class Trial:
    """One trial.

    Attributes:
        number: counted from 0 in the order of proposals.
        assignment: parameter -> value; the newest ones where they change on the way.
        state: what became of it: ``stopped`` is the scheduler's doing, ``refused`` are values that
            make no job, ``interrupted`` one that goes on when the sweep does.
        run: the folder of its run under the sweep's storage; None before it began.
        step: updates finished, or rounds.
        epoch: the same in epochs, as of the last evaluation.
        seconds: training time.
        weights: trainable weights; 0 where that is not known.
        metrics: newest values.
        curve: evaluations on the way.
        error: why it failed or was refused.
        failures: what went wrong in attempts that were followed by another one.
        segments: parts with values of their own, in a population.
    """

    number: int
    assignment: dict[str, Any]
    state: State = "waiting"
    run: str | None = None
    step: int = 0
    epoch: float = 0.0
    seconds: float = 0.0
    weights: int = 0
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[Milestone] = field(default_factory=list)
    error: str | None = None
    failures: list[str] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def reason(self) -> str:
        """The first line of why it failed or was refused."""
        return (self.error or "").strip().partition("\n")[0]

    def value(self, name: str, at: str = "last", *, highest: bool = True) -> float | None:
        """A quantity of this trial; None where it has none, or one that is not finite.

        Args:
            name: a metric, or ``parameters``, ``seconds``, ``seconds_per_step``, ``steps``.
            at: ``last`` or ``best`` over the evaluations.
            highest: whether the best one is the highest.
        """
        found = [self._derived(name), self.metrics.get(name)]
        known = [value for value in found if value is not None]
        if at == "best":
            on_the_way = [m.metrics[name] for m in self.curve if name in m.metrics]
            known = [v for v in [*known, *on_the_way] if math.isfinite(v)]
            return (max if highest else min)(known, default=None)
        return known[0] if known and math.isfinite(known[0]) else None

    def _derived(self, name: str) -> float | None:
        per_step = self.seconds / self.step if self.step and self.seconds else None
        return {
            "parameters": float(self.weights) if self.weights else None,
            "seconds": self.seconds or None,
            "seconds_per_step": per_step,
            "steps": float(self.step) if self.step else None,
        }.get(name)

    def save(self, folder: Folder) -> None:
        """Write it into the sweep's folder."""
        (folder / TRIALS).write_json(f"{self.number:05d}.json", asdict(self))


DERIVED = ("parameters", "seconds", "seconds_per_step", "steps")
"""Quantities that every trial has besides its metrics; less of them is better."""

_TRIAL = TypeAdapter(Trial)


def load_trials(folder: Folder, space: Space) -> list[Trial]:
    """The trials of a sweep, in their order.

    Args:
        folder: of the sweep's own run.
        space: what they were chosen from.

    Raises:
        RunError: one is damaged, or holds values that are not of the space.
    """
    found = []
    for name in (folder / TRIALS).names():
        if not name.endswith(".json"):
            continue
        try:
            values = (folder / TRIALS).read_json(name)
            trial = _TRIAL.validate_python(values)
            if (reason := space.check(trial.assignment)) is not None:
                raise ValueError(reason)
            found.append(trial)
        except (ValueError, ValidationError) as error:
            place = (folder / TRIALS).join(name)
            first = str(error).partition("\n")[0]
            raise RunError(
                f"{place} is damaged: {first}. Remove it, and the trial is done again"
            ) from error
    return sorted(found, key=lambda trial: trial.number)


def labelled(assignment: Mapping[str, Any], most: int = 4) -> str:
    """An assignment in a few words, for messages."""
    parts = [f"{name}={_short(value)}" for name, value in assignment.items()]
    more = ", ..." if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def labels_of(trials: Sequence[Trial]) -> dict[str, str]:
    """Run folder -> what it is called for people: ``trial 007``, of a population with its part."""
    found: dict[str, str] = {}
    for trial in trials:
        for index, segment in enumerate(trial.segments):
            if segment.run is not None:
                found[segment.run] = f"trial {trial.number:03d}, part {index}"
        if trial.run is not None:
            found.setdefault(trial.run, f"trial {trial.number:03d}")
    return found


def runs_of(trials: Sequence[Trial]) -> list[str]:
    """The run folders of all trials, each once."""
    names = [run for trial in trials for run in [*(s.run for s in trial.segments), trial.run]]
    return [name for name in dict.fromkeys(names) if name is not None]
