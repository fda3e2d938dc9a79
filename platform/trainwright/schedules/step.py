"""Steps down at given moments."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from trainwright.schedules.phases import warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Span, in_steps


@dataclass(frozen=True, kw_only=True)
class Step:
    """The rate is multiplied by a factor at each milestone.

    Args:
        milestones: moments from the start of training: shares of training or durations, in any
            order. From the update of that number on, the rate is reduced; a moment beyond the
            end has no effect.
        gamma: the multiplier at each milestone.
        warmup: length of the linear rise to the base rate: share of training or duration.
    """

    milestones: Annotated[list[Span], Field(min_length=1)]
    gamma: Annotated[float, Field(gt=0)] = 0.1
    warmup: Span = 0.0

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: gamma to the number of milestones passed."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)
        moments = sorted(in_steps(item, total_steps, steps_per_epoch) for item in self.milestones)

        def factor(step: int) -> float:
            reached = bisect_right(moments, min(step, total_steps))
            return warmup_factor(step, warmup_steps) * float(self.gamma**reached)

        return factor
