"""One over the root of the update."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainwright.schedules.phases import warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Span, in_steps


@dataclass(frozen=True, kw_only=True)
class InverseSqrt:
    """A linear rise to the base rate, then a fall with the root of the number of updates.

    The fall does not depend on the length of training, so that training can be prolonged.

    Args:
        warmup: length of the rise: share of training or duration.

    Source:
        Vaswani et al., Attention is all you need, 2017, section 5.3, scaled so that the peak
        is the base rate. https://arxiv.org/abs/1706.03762
    """

    warmup: Span = 0.05

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: min((t + 1) / w, sqrt(w / (t + 1))) with w = warm-up updates + 1."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)

        def factor(step: int) -> float:
            step = min(step, total_steps)
            if step < warmup_steps:
                return warmup_factor(step, warmup_steps)
            return math.sqrt((warmup_steps + 1) / (step + 1))

        return factor
