"""Strategies that choose the path of each update; pure functions that draw one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Generator, Tensor, nn

from trainwright.strategy import Context, Declares, Step, Strategy
from trainwright_strategies.importance import draw
from trainwright_strategies.supernets.protocol import Supernet, find_supernet, on_path
from trainwright_strategies.supernets.space import Path

ONE_PATH = "an update has one path, which one strategy chooses"


def draw_path(probabilities: Tensor, edges: int, generator: Generator) -> Path:
    """A path whose operations are drawn one by one.

    Args:
        probabilities: of O operations, float64 on the CPU: shape (1, O) for all edges, or
            (edges, O).
        edges: length of the path.
        generator: where the random numbers come from, on the CPU.
    """
    if len(probabilities) == 1:
        return tuple(draw(probabilities[0], edges, generator).tolist())
    return tuple(int(draw(row, 1, generator)) for row in probabilities)


class PathSampling(Strategy, ABC):
    """Base of strategies that train one path of a supernet in each update.

    The path is the same on all workers and for all micro-batches of an update, and depends on the
    seed, the update's number and the state of the strategy. Outside of updates, as in
    evaluation, the supernet runs the path that it ran before.
    """

    declares = Declares(unused_parameters=True)

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        """Find the supernet.

        Raises:
            ValueError: the model is none, or has no choice.
        """
        self._context = context
        self._supernet = find_supernet(model)
        self.check(self._supernet)
        return model

    def check(self, supernet: Supernet) -> None:
        """Refuse a supernet whose paths are all the same.

        Raises:
            ValueError: it has fewer than two operations, or was made for one path.
        """
        space, usual = supernet.space, supernet.path
        if len(space.operations) < 2:
            raise ValueError(
                f"paths are drawn among two operations or more, got {list(space.operations)}"
            )
        supernet.path = tuple((index + 1) % len(space.operations) for index in usual)
        supernet.path = usual

    @abstractmethod
    def next_path(self, step: Step) -> Path:
        """The path of an update."""

    def step(self, step: Step, take: Callable[[], None]) -> None:
        """Take the update with its path."""
        with on_path(self._supernet, self.next_path(step)):
            take()

    @property
    def num_operations(self) -> int:
        """Operations to choose from at each edge."""
        return len(self._supernet.space.operations)

    def drawn(self, probabilities: Tensor) -> Path:
        """The path of the present update, drawn with these probabilities."""
        generator = self._context.rng("path_sampling")
        return draw_path(probabilities, self._supernet.space.edges, generator)
