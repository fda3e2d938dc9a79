"""The plainest strategy that trains a supernet."""

from __future__ import annotations

from collections.abc import Callable

from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright_strategies.supernets.protocol import find_supernet


class AnyPath(Strategy):
    """A random path for each update."""

    declares = Declares(unused_parameters=True)

    def begin(self, context: Context) -> None:
        self.context = context

    def step(self, step: Step, take: Callable[[], None]) -> None:
        supernet = find_supernet(step.model)
        supernet.path = supernet.space.random(self.context.rng("path"))
        take()
