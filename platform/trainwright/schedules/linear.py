"""A straight line down."""

from __future__ import annotations

from dataclasses import dataclass

from trainwright.schedules.phases import decay_progress, warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Share, Span, in_steps


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Straight from the base rate to a final share of it, after an optional warm-up.

    The final value belongs to the moment after the last update.

    Args:
        warmup: length of the linear rise to the base rate: share of training or duration.
        final: share of the base rate at the end.
    """

    warmup: Span = 0.0
    final: Share = 0.0

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: 1 - (1 - final) * progress of the decay."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)

        def factor(step: int) -> float:
            progress = decay_progress(step, warmup_steps, total_steps)
            return warmup_factor(step, warmup_steps) * (1 - (1 - self.final) * progress)

        return factor
