"""What the two sides of a sweep call what they tell each other through Ray Tune."""

from __future__ import annotations

from trainwright.durations import Duration
from trainwright.search.spec import AshaSpec, MedianSpec, Scheduler

RESOURCE = "resource"
"""Name in a trial's results of how far it is, in the unit of the scheduler's duration."""

VALUE = "value"
"""Name in a trial's results of the quantity that it is judged by; absent where it has none."""

REPORT = "report"
"""Name in a trial's results of what else it has to say."""

TRIAL = "trial"
"""Name in a trial's configuration of what it shall do."""


def unit_of(scheduler: Scheduler | None) -> Duration | None:
    """The duration whose unit a scheduler counts in; None without a scheduler."""
    if scheduler is None:
        return None
    if isinstance(scheduler, (AshaSpec, MedianSpec)):
        return scheduler.grace
    return scheduler.every
