"""What travels between the server and the processes that train clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from trainwright.federated.aggregator import State


@dataclass(frozen=True)
class Bin:
    """A part of a cohort that is trained and summed up in one process.

    Attributes:
        clients: in ascending order.
        states: what each of them kept from its last round.
    """

    clients: Sequence[int]
    states: Sequence[State]


def groups_of(clients: Sequence[int], number: int) -> list[list[int]]:
    """Clients cut into parts that differ in size by one at most, in their order."""
    number = min(number, len(clients))
    cuts = [len(clients) * i // number for i in range(number + 1)]
    return [list(clients[low:high]) for low, high in pairwise(cuts)]
