"""The two phases most schedules have: a warm-up from almost nothing, then a decay."""

from __future__ import annotations


def warmup_factor(step: int, warmup_steps: int) -> float:
    """Linear rise over the first updates: update ``t`` gets (t + 1) / (warmup_steps + 1).

    No update is wasted at rate 0, and update ``warmup_steps`` is the first at the full rate,
    which is where the decay begins. Equal to torch's ``LinearLR(1 / (warmup_steps + 1))``.
    """
    return min(1.0, (step + 1) / (warmup_steps + 1))


def decay_progress(step: int, warmup_steps: int, total_steps: int) -> float:
    """Share of the decay behind update ``step``: 0 at the end of warm-up, 1 at the end."""
    if step >= total_steps:
        return 1.0
    return max(0, step - warmup_steps) / max(1, total_steps - warmup_steps)
