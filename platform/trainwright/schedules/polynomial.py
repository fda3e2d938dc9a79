"""A power of the training that is left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from trainwright.schedules.phases import decay_progress, warmup_factor
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Share, Span, in_steps


@dataclass(frozen=True, kw_only=True)
class Polynomial:
    """The base rate times a power of the training left, after an optional warm-up.

    The final value belongs to the moment after the last update.

    Args:
        power: exponent; 1 is the linear schedule.
        warmup: length of the linear rise to the base rate: share of training or duration.
        final: share of the base rate at the end.
    """

    power: Annotated[float, Field(gt=0)] = 2.0
    warmup: Span = 0.0
    final: Share = 0.0

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: final + (1 - final) * (1 - progress) ** power after warm-up."""
        warmup_steps = in_steps(self.warmup, total_steps, steps_per_epoch)

        def factor(step: int) -> float:
            left = 1 - decay_progress(step, warmup_steps, total_steps)
            decayed = self.final + (1 - self.final) * float(left**self.power)
            return warmup_factor(step, warmup_steps) * decayed

        return factor
