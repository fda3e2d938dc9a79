"""One rise and one fall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from trainwright.schedules.cosine import cosine_between
from trainwright.schedules.protocol import Factor
from trainwright.schedules.span import Share, Span, in_steps

Curve = Callable[[float, float, float], float]


def line_between(start: float, end: float, progress: float) -> float:
    """A straight line from ``start`` (progress 0) to ``end`` (progress 1)."""
    return start + (end - start) * progress


@dataclass(frozen=True, kw_only=True)
class OneCycle:
    """One rise to the base rate, which is the peak, and one fall far below the start.

    The last update has exactly the final rate. Momentum is left alone.

    Args:
        warmup: length of the rise: share of training or duration.
        start: share of the peak rate in the first update.
        final: share of the peak rate in the last update.
        curve: form of both parts.

    Source:
        Smith and Topin, Super-convergence: very fast training of neural networks using large
        learning rates, 2018. https://arxiv.org/abs/1708.07120
    """

    warmup: Span = 0.3
    start: Share = 0.04
    final: Share = 4e-6
    curve: Literal["cosine", "linear"] = "cosine"

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The factor: from start to 1 over the rise, from 1 to final over the rest."""
        between: Curve = cosine_between if self.curve == "cosine" else line_between
        last = total_steps - 1
        peak = min(last, max(0, in_steps(self.warmup, total_steps, steps_per_epoch) - 1))

        def factor(step: int) -> float:
            step = min(step, last)
            if step < peak:
                return between(self.start, 1.0, step / peak)
            return between(1.0, self.final, (step - peak) / max(1, last - peak))

        return factor
