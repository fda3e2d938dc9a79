"""One client after another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from trainwright.federated.aggregator import Client
from trainwright.federated.clients.trainer import Chunk, Local, Member, Trainer, batch_sizes
from trainwright.federated.transport.sent import Sent
from trainwright.strategy import Batch
from trainwright.training.randomness import seed_all


class Sequential(Trainer):
    """Trains clients one after another, in the module itself.

    The optimizer moves one parameter, the vector of weights: for those that work element by
    element it is the same as to move each tensor, in a fraction of the time for small models.
    """

    def __init__(self, local: Local) -> None:
        super().__init__(local)
        vectors = local.vectors
        self._parameter = nn.Parameter(vectors.weights)
        self._parameter.grad = vectors.gradient
        self._optimizer = local.optimizer([self._parameter])

    def __call__(self, members: Sequence[Member], sent: Sent) -> Iterator[Chunk]:
        """See :class:`Trainer`."""
        self.local.vectors.module.train()
        for group in self._optimizer.param_groups:
            group["lr"] = sent.lr
        firsts = self.orders(members, sent.round, 0)
        for member, first in zip(members, firsts, strict=True):
            yield self._train(member, first, sent)

    def _train(self, member: Member, first: Tensor, sent: Sent) -> Chunk:
        local, vectors = self.local, self.local.vectors
        weights, buffers = member.start or (sent.weights, sent.buffers)
        self._optimizer.state.clear()
        with torch.no_grad():
            vectors.weights.copy_(weights)
            vectors.buffers.copy_(buffers)
            vectors.gradient.zero_()
            for name, counter in vectors.counters.items():
                counter.copy_(sent.counters[name])
        local.context.seed = seed_all(local.seed, "client", sent.round, member.id)
        steps = self.steps(len(member.rows))
        client = Client(
            member.id,
            sent.round,
            len(member.rows),
            steps,
            sent.lr,
            sent.weights,
            sent.shared,
            member.state,
            vectors.layout,
        )
        losses = [
            self._step(step, batch, client)
            for step, batch in enumerate(self._batches(member, first, sent.round, steps))
        ]
        return Chunk(
            [member],
            vectors.weights.clone().unsqueeze(0),
            vectors.buffers.clone().unsqueeze(0),
            torch.stack(losses).mean().unsqueeze(0),
            [steps],
            {name: counter.clone() for name, counter in vectors.counters.items()},
        )

    def _step(self, step: int, batch: Batch, client: Client) -> Tensor:
        vectors, limit = self.local.vectors, self.local.training.max_grad_norm
        self.local.context.update = step
        with self.precision():
            loss = self.loss(batch, client).value
        loss.backward()  # type: ignore[no-untyped-call]
        gradient = vectors.gradient
        if self._has_gradients:
            gradient.copy_(self.local.aggregator.gradients(gradient, vectors.weights, client))
        if limit is not None:
            nn.utils.clip_grad_norm_(self._parameter, limit)
        self._optimizer.step()
        gradient.zero_()
        return loss.detach()

    def _batches(self, member: Member, rows: Tensor, round: int, steps: int) -> Iterator[Batch]:
        """Batches of so many updates; ``rows`` is the order of the first epoch."""
        local, left, number = self.local, steps, 0
        sizes = batch_sizes(len(rows), local.batch_size, local.fewest)
        while True:
            samples = local.splits.train.take(rows)
            parts = {name: torch.split(c, sizes) for name, c in samples.items()}
            for place in range(min(len(sizes), left)):
                batch = {name: part[place] for name, part in parts.items()}
                yield self.placed(batch, self.first_epoch(round) + number)
            left -= len(sizes)
            if left <= 0:
                return
            number += 1
            (rows,) = self.orders([member], round, number)
