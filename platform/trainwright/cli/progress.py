"""How far training is, from the few values that a run reports a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from trainwright.cli.words import metrics, number
from trainwright.times import clock

_SETTLING = 3
"""The speed so far is no guide to the time left before this many updates."""


@dataclass
class TrainingProgress:
    """The newest values and the estimate of the time left.

    Attributes:
        step: updates finished; 0 before the first.
        total: updates planned; 0 while unknown.
        loss: training loss of the newest update.
        speed: samples per second over all workers.
        metrics: the newest evaluation.
        stopping: whether training was asked to stop.
        clock: seconds.
        unit: what a step is called.
    """

    step: int = 0
    total: int = 0
    loss: float | None = None
    speed: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    stopping: bool = False
    clock: Callable[[], float] = time.monotonic
    unit: ClassVar[str] = "step"
    _first: tuple[int, float] | None = None
    _newest: float = 0.0

    def update(self, progress: Mapping[str, Any]) -> bool:
        """Take what is new.

        Returns:
            Whether there is a new evaluation among it.
        """
        step = int(progress.get("step", self.step))
        if step != self.step or self._first is None:
            self._newest = self.clock()
            if step > 0 and (self._first is None or step < self.step):
                self._first = (step, self._newest)
        self.step = step
        self.total = int(progress.get("total_steps", self.total))
        self.loss = progress.get("loss", self.loss)
        self.speed = progress.get("samples_per_second", self.speed)
        self.stopping = bool(progress.get("stopping", self.stopping))
        evaluated = dict(progress.get("metrics", self.metrics))
        changed, self.metrics = evaluated != self.metrics, evaluated
        return changed

    @property
    def share(self) -> float:
        """Part of the updates that is finished, 0 to 1."""
        return self.step / self.total if self.total else 0.0

    @property
    def is_complete(self) -> bool:
        """Whether the last update is done."""
        return 0 < self.total <= self.step

    def seconds_left(self) -> float | None:
        """From the mean time of an update so far, evaluations and checkpoints included."""
        if self._first is None or self.is_complete:
            return None
        step, moment = self._first
        if self.step - step < _SETTLING:
            return None
        pace = (self._newest - moment) / (self.step - step)
        return max(0.0, (self.total - self.step) * pace - (self.clock() - self._newest))

    def values(self) -> list[str]:
        """Loss, speed and the newest evaluation, in words."""
        shown = []
        if self.loss is not None:
            shown.append(f"loss {number(self.loss)}")
        if self.speed is not None:
            shown.append(f"{self.speed:,.0f} samples/s")
        if self.metrics:
            shown.append(metrics(self.metrics))
        return shown

    def counts(self) -> list[str]:
        """What else there is to tell, in words."""
        return []

    def line(self) -> str:
        """Everything on one line, for a log."""
        left = self.seconds_left()
        head = f"{self.unit} {self.step}/{self.total} ({self.share:.0%})"
        tail = [f"{clock(left)} left"] if left is not None else []
        return ", ".join([head, *self.values(), *self.counts(), *tail])
