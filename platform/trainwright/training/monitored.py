"""The metric that says which checkpoint is best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass
class Best:
    """The best value of one metric so far.

    Attributes:
        metric: name of the monitored metric.
        higher_is_better: direction.
        value: best value so far; None before the first evaluation.
        step: updates finished when it was reached.
    """

    metric: str = "validation/loss"
    higher_is_better: bool = False
    value: float | None = None
    step: int | None = None
    _before: tuple[float | None, int | None] = (None, None)

    def improves(self, metrics: Mapping[str, float], step: int) -> bool:
        """Take an evaluation into account; whether it is the best so far. NaN never is.

        Raises:
            KeyError: the metric is not among those evaluated.
        """
        new = metrics[self.metric]
        if math.isnan(new):
            return False
        if self.value is not None:
            gain = new - self.value if self.higher_is_better else self.value - new
            if not gain > 0:
                return False
        self._before = self.value, self.step
        self.value, self.step = new, step
        return True

    def withdraw(self, step: int) -> None:
        """Go back to the best value before, if ``step`` had the best: its weights are lost."""
        if self.step == step:
            self.value, self.step = self._before

    def forget(self) -> None:
        """Start anew: values of different phases of training cannot be compared."""
        self.value, self.step = None, None
        self._before = None, None

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"metric": self.metric, "value": self.value, "step": self.step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back ``state_dict``; a job that now monitors another metric starts anew."""
        if state["metric"] == self.metric:
            self.value, self.step = state["value"], state["step"]
