"""The processes in which clients train: this one, or residents on Ray."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from trainwright.federated.processes.site import Site
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent
from trainwright.federated.transport.work import Bin


class Pool(Protocol):
    """Works on bins, in one process or several, with the same results."""

    def train(self, sent: Sent, bins: Sequence[Bin], costs: Sequence[float]) -> list[Total]:
        """Train the clients of all bins.

        Args:
            sent: what the clients begin with.
            bins: of a round.
            costs: how long each of them will take, relative to the others.

        Returns:
            What the clients of each bin send, in the bins' order.

        Raises:
            RunError: a process failed, or was lost too often.
        """
        ...

    def measure(self, sent: Sent, bins: Sequence[Bin]) -> list[dict[str, float]]:
        """What is measured at the clients of all bins, in their order; raises as ``train``."""
        ...

    def close(self) -> None:
        """Give back what was taken."""
        ...


class InProcess:
    """One bin after another, here.

    Args:
        site: where they train.
    """

    def __init__(self, site: Site) -> None:
        self._site = site

    def train(self, sent: Sent, bins: Sequence[Bin], costs: Sequence[float]) -> list[Total]:
        """See :class:`Pool`."""
        return [self._site.train(sent, bin) for bin in bins]

    def measure(self, sent: Sent, bins: Sequence[Bin]) -> list[dict[str, float]]:
        """See :class:`Pool`."""
        return [found for bin in bins for found in self._site.measure(sent, bin)]

    def close(self) -> None:
        """Nothing was taken."""


def placed(costs: Sequence[float], places: int) -> list[list[int]]:
    """Bins on places such that all come to their end at about the same time.

    The longest first, each where there is least to do so far (R. L. Graham, Bounds on
    multiprocessing timing anomalies, 1969): at most a third longer than the best there is.

    Args:
        costs: how long each bin takes.
        places: how many there are.

    Returns:
        For each place the bins it works on, in their order; without places that get none.
    """
    loads, chosen = [0.0] * places, [list[int]() for _ in range(places)]
    for index in sorted(range(len(costs)), key=lambda i: (-costs[i], i)):
        place = min(range(places), key=lambda p: (loads[p], p))
        loads[place] += costs[index]
        chosen[place].append(index)
    return [sorted(indices) for indices in chosen if indices]
