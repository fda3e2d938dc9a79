"""What the two ways to train clients share: whom, on which batches, by which loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from trainwright.data.loading import Splits
from trainwright.engine.base import PRECISIONS
from trainwright.federated.aggregator import Aggregator, Client, State, overridden
from trainwright.federated.clients.orders import client_orders
from trainwright.federated.clients.vectors import VectorModule
from trainwright.federated.spec import LocalTraining
from trainwright.federated.transport.sent import Sent
from trainwright.objective import WeightedSum
from trainwright.strategy import Batch, Context, Loss, Outputs, Strategy
from trainwright.strategy.base import Compute
from trainwright.strategy.compose import wrap_loss
from trainwright.training.compute import ObjectiveCompute

Execution = Literal["sequential", "batched"]
"""Whether clients train one after another, or side by side as one computation."""


@dataclass(frozen=True)
class Local:
    """The means of training on clients, in one process.

    Attributes:
        vectors: the model.
        terms: the objective.
        strategies: in job order.
        context: theirs.
        aggregator: whose hooks take part.
        optimizer: makes one over given parameters.
        training: what a client does in a round.
        batch_size: of a client.
        fewest: samples that the last batch of an epoch has at least, see :func:`batch_sizes`.
        splits: whose training samples and transforms are meant.
        seed: the job's.
    """

    vectors: VectorModule
    terms: WeightedSum
    strategies: Sequence[Strategy]
    context: Context
    aggregator: Aggregator
    optimizer: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]
    training: LocalTraining
    batch_size: int
    fewest: int
    splits: Splits
    seed: int


@dataclass(frozen=True)
class Member:
    """A client that is to be trained.

    Attributes:
        id: its number.
        rows: its rows in the training table, int64.
        state: what it kept from its last round.
        start: weights and buffers it begins with, where they are not those that were sent.
    """

    id: int
    rows: Tensor
    state: State
    start: tuple[Tensor, Tensor] | None = None


@dataclass(frozen=True)
class Chunk:
    """Clients after their last update in a round.

    Attributes:
        members: k of them.
        weights: theirs, shape (k, d).
        buffers: shape (k, q).
        losses: mean of each over its updates, shape (k,).
        steps: updates that each made.
        counters: the other buffers, by name: the highest where there are several clients.
    """

    members: Sequence[Member]
    weights: Tensor
    buffers: Tensor
    losses: Tensor
    steps: Sequence[int]
    counters: Mapping[str, Tensor] = field(default_factory=dict)

    def cpu(self) -> Chunk:
        """The same on the CPU, where messages are made; itself if it is there."""
        return replace(
            self,
            weights=self.weights.cpu(),
            buffers=self.buffers.cpu(),
            losses=self.losses.cpu(),
            counters={name: counter.cpu() for name, counter in self.counters.items()},
        )


class Trainer(ABC):
    """Trains clients, and leaves nothing behind from one to the next."""

    def __init__(self, local: Local) -> None:
        self.local = local
        module = local.vectors.module
        self._inner = wrap_loss(local.strategies, ObjectiveCompute(module, local.terms))
        self._compute = _Compute(self._inner, local.vectors)
        self._has_loss = overridden(local.aggregator, "loss")
        self._has_gradients = overridden(local.aggregator, "gradients")

    @abstractmethod
    def __call__(self, members: Sequence[Member], sent: Sent) -> Iterator[Chunk]:
        """Train all of them, from what was sent; in their order."""

    def steps(self, num_samples: int) -> int:
        """Updates of a client with so many samples."""
        return num_steps(self.local.training, num_samples, self.local.batch_size, self.local.fewest)

    def loss(self, batch: Batch, client: Client) -> Loss:
        """The loss of a batch, aggregator and strategies included."""
        if self._has_loss:
            return self.local.aggregator.loss(batch, self._compute, client)
        return self._inner(batch)

    def precision(self) -> AbstractContextManager[Any]:
        """Inside it, forward passes run in the job's number format."""
        dtype = PRECISIONS[self.local.training.precision]
        if dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.local.vectors.device.type, dtype)

    def placed(self, batch: dict[str, Tensor], epoch: int) -> dict[str, Tensor]:
        """A batch after the job's transforms, where the model lies."""
        local = self.local
        transforms, device = local.splits.transforms, local.vectors.device
        if len(transforms):
            batch = transforms(batch, epoch, training=True)
        if device.type == "cpu":
            return batch
        return {name: value.to(device, non_blocking=True) for name, value in batch.items()}

    def first_epoch(self, round: int) -> int:
        """The number of a client's first epoch in a round, for the random numbers of transforms."""
        training = self.local.training
        # Where updates are counted, no client begins more epochs than it makes updates.
        return round * (training.num_epochs or training.steps or 1)

    def orders(self, members: Sequence[Member], round: int, number: int) -> list[Tensor]:
        """The rows of some clients in the order of their epoch of that number in a round."""
        epoch = self.first_epoch(round) + number
        clients, rows = [member.id for member in members], [member.rows for member in members]
        return client_orders(self.local.seed, round, epoch, clients, rows)


def batch_sizes(num_samples: int, batch_size: int, fewest: int) -> list[int]:
    """Samples of each update of an epoch, in their order.

    The last one may have fewer than the others. With less than ``fewest`` it joins the one before:
    batch normalisation makes nothing of a single sample, and with many clients there is always
    one that would be left with such a batch.
    """
    whole, left = divmod(num_samples, batch_size)
    if 0 < left < fewest and whole:
        return [batch_size] * (whole - 1) + [batch_size + left]
    return [batch_size] * whole + ([left] if left else [])


def num_steps(training: LocalTraining, num_samples: int, batch_size: int, fewest: int) -> int:
    """Updates of a client with so many samples."""
    if training.steps is not None:
        return training.steps
    whole, left = divmod(num_samples, batch_size)
    has_rest = left > 0 and (left >= fewest or whole == 0)
    return (training.num_epochs or 1) * (whole + has_rest)


class _Compute:
    """The loss of a client's batch, see :class:`trainwright.federated.aggregator.LocalCompute`."""

    def __init__(self, inner: Compute, vectors: VectorModule) -> None:
        self._inner = inner
        self._vectors = vectors

    def __call__(self, batch: Batch, outputs: Outputs | None = None) -> Loss:
        return self._inner(batch, outputs)

    def forward(self, batch: Batch) -> Outputs:
        return self._inner.forward(batch)

    @torch.no_grad()
    def forward_at(self, weights: Tensor, batch: Batch) -> Outputs:
        return self._vectors.forward_at(weights, batch)
