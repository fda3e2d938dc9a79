"""The learning rates of parameter groups, relative to that of the job."""

from __future__ import annotations

from collections.abc import Sequence

from trainwright.strategy import ParameterGroup


def rate_ratios(groups: Sequence[ParameterGroup], rate: float | None) -> list[float]:
    """The rate of each group over the job's.

    Args:
        groups: with ``lr`` where a group has a rate of its own.
        rate: the job's; None where it leaves it to the optimizer: then the first of their own
            takes its place.
    """
    own = [group["lr"] for group in groups if "lr" in group]
    base = rate or next(iter(own), 1.0)
    return [float(group.get("lr", base) / base) for group in groups]
