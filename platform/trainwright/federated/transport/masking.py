"""Sums of which the server sees no single term: masks that cancel in pairs.

Each client turns its numbers into 64-bit integers, and adds or subtracts a mask for each of its
neighbours in the cohort, who does the opposite. What is sent is uniformly distributed, and the sum
modulo 2^64 is that of the numbers. The idea is that of K. Bonawitz et al., "Practical Secure
Aggregation for Privacy-Preserving Machine Learning", CCS 2017; that few neighbours are enough is
that of J. Bell et al., "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", CCS
2020.

This is the arithmetic, in simulation. There is no exchange of keys: masks follow from the job's
seed, which the server of a simulation knows. There are no shares from which the masks of clients
that dropped out are put together, and none of the second masks that guard those who are late:
what is left of masks is computed again from the seed. So it shows that a method needs nothing but
sums, what that costs, and what the rounding does; it protects nobody.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainwright.data.random import bits, key
from trainwright.errors import RunError

FRACTION_BITS = 32
"""Binary digits after the point: numbers are rounded to multiples of 2^-32."""

FEWEST_CLIENTS = 2
"""A sum of fewer is the message of one client itself."""

_SCALE = 2.0**FRACTION_BITS
_ID = torch.zeros(1, dtype=torch.int64)


def largest(num_clients: int) -> float:
    """How large an element may be so that the sum over so many clients does not overflow."""
    return 2.0 ** (63 - FRACTION_BITS) / num_clients


def encode(values: Tensor, num_clients: int) -> Tensor:
    """Numbers in fixed point: int64 of the same shape, rounded to multiples of 2^-32.

    Args:
        values: any shape; what is sent, times the client's weight.
        num_clients: clients that may be summed, at least 1.

    Raises:
        RunError: a number is too large for such a sum, or is none.
    """
    limit = largest(num_clients)
    size = float(values.abs().max()) if values.numel() else 0.0
    if not size < limit:
        raise RunError(
            f"under masks, {num_clients} clients can sum numbers below {limit:g}, and an update "
            f"(times the samples, unless the weighting is uniform) has one of {size:g}: give "
            "federation.privacy a clip, or no masked_sums"
        )
    return (values.double() * _SCALE).round().to(torch.int64)


def decode(total: Tensor) -> Tensor:
    """The numbers of a sum: float64 of the same shape."""
    return total.double() / _SCALE


@dataclass(frozen=True)
class Masks:
    """The masks of one round's cohort.

    Attributes:
        seed: of the job.
        round: from 0.
        cohort: numbers of the clients that were asked, in increasing order.
        num_neighbours: of each client, an even number; in a cohort of no more than that all others.
    """

    seed: int
    round: int
    cohort: Sequence[int]
    num_neighbours: int = 4

    def neighbours(self, client: int) -> list[int]:
        """Those with whom a client shares masks: next to it in the ring of the cohort."""
        count, place = len(self.cohort), bisect_left(self.cohort, client)
        steps = range(1, self.num_neighbours // 2 + 1)
        places = {(place + sign * step) % count for step in steps for sign in (1, -1)}
        return [self.cohort[other] for other in sorted(places - {place})]

    def of(self, client: int, size: int, part: str = "update") -> Tensor:
        """What a client adds to its numbers: int64 of shape (size,); sums wrap around.

        Args:
            client: its number.
            size: elements of the message.
            part: name of the message's part: each has masks of its own.
        """
        return _sum(self._signed(client, self.neighbours(client), size, part), size)

    def left_over(self, arrived: Collection[int], size: int, part: str = "update") -> Tensor:
        """What is left of the masks in the sum over those who arrived: int64 of shape (size,).

        It is to be subtracted. Only masks that were shared with clients that dropped out remain.

        Args:
            arrived: numbers of the clients whose messages were summed.
            size: elements of a message.
            part: name of the message's part.
        """
        present = set(arrived)
        masks = (
            mask
            for client in self.cohort
            if client in present
            for mask in self._signed(
                client, [n for n in self.neighbours(client) if n not in present], size, part
            )
        )
        return _sum(masks, size)

    def _signed(
        self, client: int, neighbours: Sequence[int], size: int, part: str
    ) -> Iterator[Tensor]:
        for other in neighbours:
            low, high = min(client, other), max(client, other)
            pair = key(self.seed, "mask", part, self.round, low, high)
            mask = bits(pair, _ID, (size,))[0]
            yield mask if client == low else -mask


def _sum(masks: Iterator[Tensor], size: int) -> Tensor:
    total = torch.zeros(size, dtype=torch.int64)
    for mask in masks:
        total += mask
    return total
