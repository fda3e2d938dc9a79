"""Bounds that architectures have to keep, and the smallest ones that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainwright.errors import InputError, Problem
from trainwright_strategies.supernets.space import Path, PathSpace


def least(space: PathSpace, cost: Callable[[Path], float]) -> tuple[Path, float]:
    """A path of least cost, found by changing one edge after another, and its cost.

    It is the least of all where costs of edges add up, as numbers of weights do.
    """
    best: Path = (0,) * space.edges
    found = cost(best)
    improved = True
    while improved:
        improved = False
        for edge in range(space.edges):
            for operation in range(len(space.operations)):
                path = (*best[:edge], operation, *best[edge + 1 :])
                value = found if path == best else cost(path)
                if value < found:
                    best, found, improved = path, value, True
    return best, found


@dataclass(frozen=True)
class Limits:
    """What a path may cost.

    Attributes:
        max_parameters: weights of the architecture alone; None for no bound.
        max_latency_ms: milliseconds of one forward pass; None for no bound.
    """

    max_parameters: int | None = None
    max_latency_ms: float | None = None

    def small_enough(self, parameters: int) -> bool:
        """Whether so many weights are allowed."""
        return self.max_parameters is None or parameters <= self.max_parameters

    def fast_enough(self, latency_ms: float) -> bool:
        """Whether a forward pass may take so long."""
        return self.max_latency_ms is None or latency_ms <= self.max_latency_ms

    def refuse_parameters(self, space: PathSpace, count: Callable[[Path], int]) -> None:
        """Refuse a bound below the smallest architecture.

        Raises:
            InputError: with the smallest.
        """
        if self.max_parameters is None:
            return
        smallest, parameters = least(space, count)
        if not self.small_enough(int(parameters)):
            name = space.name(smallest)
            message = f"the smallest architecture, {name}, has {int(parameters)} weights"
            raise InputError(
                Problem("procedure.max_parameters", message, self.max_parameters, mend="allow more")
            )

    def refuse_latency(self, space: PathSpace, fastest: Path, latency_ms: float) -> None:
        """Refuse a bound below the latency of the fastest architecture that was found.

        Raises:
            InputError: with the fastest.
        """
        if not self.fast_enough(latency_ms):
            name = space.name(fastest)
            message = f"the fastest architecture found, {name}, takes {latency_ms:.3g} ms"
            mend = "allow more, or time smaller batches (latency_batch_size)"
            raise InputError(
                Problem("procedure.max_latency_ms", message, self.max_latency_ms, mend=mend)
            )
