"""What ends trials on their way: Ray Tune's schedulers, told of what earlier attempts saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trainwright.durations import Duration
from trainwright.search.goals import Goal
from trainwright.search.spec import AshaSpec, MedianSpec, Scheduler
from trainwright.search.trials import Trial

if TYPE_CHECKING:
    from ray.tune.schedulers import TrialScheduler

RESOURCE = "resource"
"""Name in a trial's results of how far it is, in the unit of the scheduler's duration."""

VALUE = "value"
"""Name in a trial's results of the quantity that it is judged by."""

ENDLESS = 10**9
"""More epochs or steps than anybody trains; how long a trial is, its own job says."""


def unit_of(scheduler: Scheduler | None) -> Duration | None:
    """The duration whose unit a scheduler counts in; None without a scheduler."""
    if scheduler is None:
        return None
    if isinstance(scheduler, (AshaSpec, MedianSpec)):
        return scheduler.grace
    return scheduler.every


def make_scheduler(spec: AshaSpec | MedianSpec, goal: Goal, before: Sequence[Trial]) -> Any:
    """The scheduler of a sweep, which knows what its trials have reached before.

    Args:
        spec: which, and its options.
        goal: the quantity by which trials are compared.
        before: trials of earlier attempts, with their curves.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule

    class UnyieldingMedianRule(MedianStoppingRule):  # type: ignore[misc]  # ray has no types
        """Lets a trial go on that has too few others to be compared with.

        Tune's pauses it in favour of one that waits, which would train on from a checkpoint.
        """

        def _on_insufficient_samples(self, *args: Any) -> str:
            return str(self.CONTINUE)

    mode = "max" if goal.highest else "min"
    scheduler: TrialScheduler
    if isinstance(spec, AshaSpec):
        scheduler = AsyncHyperBandScheduler(
            time_attr=RESOURCE,
            metric=VALUE,
            mode=mode,
            grace_period=spec.grace.amount,
            reduction_factor=spec.reduction,
            max_t=ENDLESS,
        )
    else:
        scheduler = UnyieldingMedianRule(
            time_attr=RESOURCE,
            metric=VALUE,
            mode=mode,
            grace_period=spec.grace.amount,
            min_samples_required=spec.min_trials,
            min_time_slice=0,
        )
    for trial in before:
        _replay(scheduler, trial, goal, spec.grace)
    return scheduler


class _Earlier:
    """Stands for a trial of an earlier attempt, for which schedulers need no more than an id."""

    def __init__(self, number: int) -> None:
        self.trial_id = f"earlier-{number}"
        self.status = "TERMINATED"


def _replay(scheduler: TrialScheduler, trial: Trial, goal: Goal, unit: Duration) -> None:
    results = [result for m in trial.curve if (result := _result(m, goal, unit)) is not None]
    if not results:
        return
    earlier: Any = _Earlier(trial.number)
    scheduler.on_trial_add(None, earlier)
    for result in results:
        scheduler.on_trial_result(None, earlier, result)


def _result(milestone: Any, goal: Goal, unit: Duration) -> dict[str, float] | None:
    value = milestone.metrics.get(goal.name)
    return None if value is None else {RESOURCE: resource_of(milestone, unit), VALUE: value}


def resource_of(milestone: Any, unit: Duration) -> float:
    """How far a trial was at a milestone, in the unit of a duration."""
    return float(milestone.epoch if unit.unit == "epochs" else milestone.step)
