"""Half a cosine down."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainwright.schedules.phases import decay_progress, warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Share, Span, in_steps


def cosine_between(start: float, end: float, progress: float) -> float:
    """Half a cosine from ``start`` (progress 0) to ``end`` (progress 1)."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True, kw_only=True)
class Cosine:
    """Half a cosine from the base rate to a final share of it, after an optional warm-up.

    The final value belongs to the moment after the last update.

    Args:
        warmup: length of the linear rise to the base rate: share of training or duration.
        final: share of the base rate at the end.

    Source:
        Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017,
        equation 5, without restarts. https://arxiv.org/abs/1608.03983
    """

    warmup: Span = 0.0
    final: Share = 0.0

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: final + (1 - final) * (1 + cos(pi * progress)) / 2 after warm-up."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)

        def factor(step: int) -> float:
            progress = decay_progress(step, warmup_steps, total_steps)
            return warmup_factor(step, warmup_steps) * cosine_between(1.0, self.final, progress)

        return factor
