"""The rate stays as it is."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.schedules.phases import warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Span, in_steps


@dataclass(frozen=True, kw_only=True)
class Constant:
    """The base rate throughout, after an optional warm-up.

    Args:
        warmup: length of the linear rise to the base rate: share of training or duration.
    """

    warmup: Span = 0.0

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: 1 after warm-up."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)
        return lambda step: warmup_factor(step, warmup_steps)
