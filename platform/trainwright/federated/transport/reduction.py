"""Adding up what clients send: in a bin, and over the bins, always in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from trainwright.federated.aggregator import Aggregator, Federation, Reduced, State
from trainwright.federated.transport.masking import Masks, decode
from trainwright.federated.transport.messages import Messages, weights_of
from trainwright.federated.transport.outgoing import BUFFERS

ROWS = 16
"""Messages that are added up at a time."""


@dataclass
class Total:
    """What was sent by some clients: of one bin, or of all bins of a round.

    Attributes:
        clients: those that count.
        weights: of each, float64.
        sums: with ``reduce = "sum"``, parts of the messages times the weights, added up, float64;
            int64 under masks.
        stacks: with ``reduce = "stack"``, the parts of each client, shape (clients, ...).
        buffers: floating-point buffers times the weights, added up, float64, shape (q,).
        counters: the highest of each of the other buffers.
        losses: mean loss of each client.
        norms: L2 norm of each client's update.
        states: what each client keeps.
        dropped: clients whose updates were not finite.
        num_within: updates that were within the clip.
        num_bytes: what was sent.
        num_samples: samples of the clients that count.
        further: named numbers of each client.
    """

    clients: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    sums: dict[str, Tensor] = field(default_factory=dict)
    stacks: dict[str, list[Tensor]] = field(default_factory=dict)
    buffers: Tensor | None = None
    counters: dict[str, Tensor] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    num_within: int = 0
    num_bytes: int = 0
    num_samples: int = 0
    further: dict[str, list[float]] = field(default_factory=dict)

    def take(self, messages: Messages, aggregator: Aggregator) -> None:
        """Add the messages of further clients."""
        self.dropped += messages.dropped
        if not messages.clients:
            return
        weights = weights_of(aggregator, messages.samples)
        sum_up = _sum if messages.are_masked else _weighted
        for name, part in messages.parts.items():
            if aggregator.reduce == "stack":
                self.stacks.setdefault(name, []).append(part)
            else:
                _add(self.sums, name, sum_up(weights, part))
        buffers = sum_up(weights, messages.buffers)
        self.buffers = buffers if self.buffers is None else self.buffers + buffers
        self.clients += messages.clients
        self.weights += weights.tolist()
        self.losses += messages.losses.tolist()
        self.norms += messages.norms.tolist()
        self.states += messages.states
        self.num_within += messages.num_within
        self.num_bytes += messages.num_bytes
        self.num_samples += int(messages.samples.sum())

    def count(self, counters: Mapping[str, Tensor]) -> None:
        """Take note of buffers that are no numbers to average."""
        for name, value in counters.items():
            before = self.counters.get(name)
            self.counters[name] = value if before is None else torch.maximum(before, value)

    def join(self, other: Total) -> None:
        """Add the total of further clients."""
        for name, value in other.sums.items():
            _add(self.sums, name, value)
        for name, parts in other.stacks.items():
            self.stacks.setdefault(name, []).extend(parts)
        for name, numbers in other.further.items():
            self.further.setdefault(name, []).extend(numbers)
        if other.buffers is not None:
            mine = self.buffers
            self.buffers = other.buffers if mine is None else mine + other.buffers
        self.count(other.counters)
        for name in ("clients", "weights", "losses", "norms", "states", "dropped"):
            getattr(self, name).extend(getattr(other, name))
        self.num_within += other.num_within
        self.num_bytes += other.num_bytes
        self.num_samples += other.num_samples

    def unmask(self, masks: Masks) -> None:
        """Turn sums of masked messages into the sums of what they hide."""
        assert self.buffers is not None
        sums = {**self.sums, BUFFERS: self.buffers}
        for name, value in sums.items():
            left = masks.left_over(self.clients, value.numel(), name)
            sums[name] = decode((value.reshape(-1) - left).reshape(value.shape))
        self.buffers = sums.pop(BUFFERS)
        self.sums = sums

    def mean(self, numbers: Sequence[float]) -> float:
        """The mean of a number of each client, by their weights."""
        pairs = zip(self.weights, numbers, strict=True)
        return sum(weight * number for weight, number in pairs) / sum(self.weights)

    def mean_buffers(self) -> Tensor:
        """The mean of the buffers, float32 of shape (q,)."""
        assert self.buffers is not None
        return (self.buffers / sum(self.weights)).float()

    def reduced(self, round: int, federation: Federation) -> Reduced:
        """As an aggregator's server gets it: at least one client counts."""
        weights = torch.tensor(self.weights, dtype=torch.float64)
        total = weights.sum()
        mean = {name: value / total for name, value in self.sums.items()}
        order = sorted(range(len(self.clients)), key=self.clients.__getitem__)
        stack = {name: torch.cat(parts)[order] for name, parts in self.stacks.items()}
        return Reduced(mean, stack, weights[order], round, federation)


def _weighted(weights: Tensor, values: Tensor) -> Tensor:
    """The sum of values (k, ...) times weights (k,), in float64."""
    flat = values.reshape(len(values), -1)
    total = torch.zeros(flat.shape[1], dtype=torch.float64, device=flat.device)
    # Some rows at a time: a copy of all of them in float64 would not stay in the caches.
    factors = torch.split(weights.to(flat.device), ROWS)
    for some, rows in zip(factors, torch.split(flat, ROWS), strict=True):
        total.addmv_(rows.to(torch.float64).T, some)
    return total.reshape(values.shape[1:])


def _sum(weights: Tensor, values: Tensor) -> Tensor:
    """The sum of integers (k, ...) that are times their weights already; it may wrap around."""
    return values.sum(dim=0)


def _add(sums: dict[str, Tensor], name: str, value: Tensor) -> None:
    sums[name] = sums[name] + value if name in sums else value
