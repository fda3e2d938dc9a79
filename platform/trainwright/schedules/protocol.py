"""What a schedule is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

Factor: TypeAlias = Callable[[int], float]
"""Number of an update, from 0 -> multiplier of the optimizer's rate in that update."""


class Schedule(Protocol):
    """Learning rate over time, as a pure function of the update.

    A schedule holds its options only. ``bind`` tells it how long training is and gives the
    function itself, so that nothing has to be stored in a checkpoint and a job resumed under
    another length follows the curve of the new length at once. The rate of update ``t`` in a
    parameter group is the group's own rate times ``factor(t)``; for ``t`` at or beyond the end
    the function keeps its last value.

    Example:
        >>> from trainwright.schedules import Linear
        >>> factor = Linear().bind(total_steps=4, steps_per_epoch=2)
        >>> [factor(step) for step in range(5)]
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """

    def bind(self, total_steps: int, steps_per_epoch: int) -> Factor:
        """The function of the update.

        Args:
            total_steps: updates in the whole training, at least 1.
            steps_per_epoch: updates in one epoch, at least 1.
        """
        ...
