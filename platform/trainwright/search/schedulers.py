"""What ends trials on their way, told of what earlier attempts of a sweep saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, Protocol

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler
from typing_extensions import override

from trainwright.durations import Duration
from trainwright.search.goals import Goal
from trainwright.search.marks import RESOURCE, TRIAL, VALUE
from trainwright.search.spec import AshaSpec, MedianSpec
from trainwright.search.trials import Milestone, Trial

ENDLESS = 10**9
"""More epochs or steps than anybody trains; how long a trial is, its own job says."""


def make_scheduler(spec: AshaSpec | MedianSpec, goal: Goal, before: Sequence[Trial]) -> Stopping:
    """The scheduler of a sweep, which knows what its trials have reached before.

    Args:
        spec: which, and its options.
        goal: the quantity by which trials are compared.
        before: trials of earlier attempts, with their curves.
    """
    rule = Halving(spec) if isinstance(spec, AshaSpec) else MedianRule(spec)
    scheduler = Stopping(rule, spec.grace, goal)
    for trial in before:
        for milestone in trial.curve:
            scheduler.told(trial.number, result_of(milestone, goal, spec.grace))
    return scheduler


def resource_of(milestone: Milestone, unit: Duration) -> float:
    """How far a trial was at a milestone, in the unit of a duration."""
    return float(milestone.epoch if unit.unit == "epochs" else milestone.step)


def result_of(milestone: Milestone, goal: Goal, unit: Duration) -> dict[str, float]:
    """What a scheduler learns of a milestone; no value where the goal was not measured."""
    value = milestone.metrics.get(goal.name)
    known = {} if value is None else {VALUE: value}
    return {RESOURCE: resource_of(milestone, unit), **known}


class Rule(Protocol):
    """Decides which trials end on their way."""

    def stops(self, number: int, resource: float, score: float) -> bool:
        """Whether a trial ends here; what it has reached counts for the others either way.

        Args:
            number: of the trial.
            resource: how far it is, more than at the time before.
            score: its value, finite; more is better.
        """
        ...


class Stopping(FIFOScheduler):  # type: ignore[misc]  # ray has no types here
    """Ends the trials that a rule wants to end.

    The rule knows trials by their numbers, so that one that goes on after an interruption is not
    taken for two, and hears of each moment of a trial once, however often it is trained.

    Args:
        rule: decides.
        grace: how far every trial gets.
        goal: the quantity by which trials are compared.
    """

    def __init__(self, rule: Rule, grace: Duration, goal: Goal) -> None:
        super().__init__()
        self._rule, self._grace, self._goal = rule, grace, goal
        self._reached: dict[int, float] = {}

    @override
    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        """Whether a trial goes on from a milestone."""
        return self.told(trial.config[TRIAL]["number"], result)

    @override
    def on_trial_complete(
        self, tune_controller: Any, trial: Any, result: Mapping[str, Any]
    ) -> None:
        """What a trial had at its end counts for the others."""
        self.told(trial.config[TRIAL]["number"], result)

    def told(self, number: int, result: Mapping[str, Any]) -> str:
        """What shall become of a trial that has reached a milestone: ``CONTINUE`` or ``STOP``.

        Args:
            number: of the trial.
            result: how far it is, and the value that it is judged by.
        """
        resource, value = result[RESOURCE], result.get(VALUE)
        if value is None or resource <= self._reached.get(number, -math.inf):
            return str(self.CONTINUE)
        if not math.isfinite(value):
            # Nothing can be computed with it; and what is not finite does not win.
            hopeless = resource >= self._grace.amount
            return str(self.STOP if hopeless else self.CONTINUE)
        self._reached[number] = resource
        stops = self._rule.stops(number, resource, value if self._goal.highest else -value)
        return str(self.STOP if stops else self.CONTINUE)


class Halving:
    """Asynchronous successive halving, as Tune has it.

    A trial is judged once at each rung, against those that have reached it before.

    Args:
        spec: its options.
    """

    def __init__(self, spec: AshaSpec) -> None:
        self._halving = AsyncHyperBandScheduler(
            time_attr=RESOURCE,
            metric=VALUE,
            mode="max",
            grace_period=spec.grace.amount,
            reduction_factor=spec.reduction,
            max_t=ENDLESS,
            # Otherwise one that has been judged at one rung would be judged once more at those
            # below it that it had passed between two evaluations.
            stop_last_trials=False,
        )
        self._known: set[int] = set()

    def stops(self, number: int, resource: float, score: float) -> bool:
        """See :class:`Rule`."""
        trial = _Numbered(number)
        if number not in self._known:
            self._known.add(number)
            self._halving.on_trial_add(None, trial)
        result = {RESOURCE: resource, VALUE: score}
        return bool(self._halving.on_trial_result(None, trial, result) == self._halving.STOP)


class MedianRule:
    """Stops whose best value is below the median of what the others had on average until then.

    Tune's pauses a trial that has too few others, which would train on from a checkpoint, and
    cannot hear of trials in another order than they came.

    Args:
        spec: its options.
    """

    def __init__(self, spec: MedianSpec) -> None:
        self._grace, self._least = spec.grace.amount, spec.min_trials
        self._curves: dict[int, list[tuple[float, float]]] = {}

    def stops(self, number: int, resource: float, score: float) -> bool:
        """See :class:`Rule`."""
        self._curves.setdefault(number, []).append((resource, score))
        if resource < self._grace:
            return False
        others = [curve for n, curve in self._curves.items() if n != number]
        means = [self._mean(curve, resource) for curve in others if curve[-1][0] >= resource]
        known = [mean for mean in means if mean is not None]
        best = max(value for _, value in self._curves[number])
        return len(known) >= self._least and best < median(known)

    def _mean(self, curve: Sequence[tuple[float, float]], until: float) -> float | None:
        """What a trial had on average between the grace and some moment."""
        values = [value for at, value in curve if self._grace <= at <= until]
        return fmean(values) if values else None


@dataclass(frozen=True)
class _Numbered:
    """Stands for a trial, of which Tune's rule needs no more than what tells it from others."""

    number: int

    @property
    def trial_id(self) -> str:
        """What tells it from others."""
        return str(self.number)
