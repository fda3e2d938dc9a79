"""The place where clients train: one in each process, alike in all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from trainwright.federated.clients.batched import Batched
from trainwright.federated.clients.measuring import Measuring
from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.clients.trainer import Chunk, Execution, Member, Trainer
from trainwright.federated.parts import Parts
from trainwright.federated.transport.gathering import gathered
from trainwright.federated.transport.messages import Postbox
from trainwright.federated.transport.reduction import Total
from trainwright.federated.transport.sent import Sent, moved
from trainwright.federated.transport.work import Bin

OWN_LOSS, GLOBAL_LOSS = "own_loss", "global_loss"
"""Loss of a client's model on the samples it has trained on, and on ``data.validation``."""


class Site:
    """Trains the clients of bins, and measures the model at clients.

    Args:
        parts: of the federation.
        execution: whether clients train one after another or side by side.
    """

    def __init__(self, parts: Parts, execution: Execution) -> None:
        self.parts = parts
        local = parts.local()
        self._trainer: Trainer = Batched(local) if execution == "batched" else Sequential(local)
        self._measuring = Measuring(parts)
        self._post = Postbox(parts.aggregator, parts.vectors.layout, parts.staying, parts.outgoing)

    def train(self, sent: Sent, bin: Bin) -> Total:
        """Train the clients of a bin, and add up what they send."""
        total = Total()
        placed = sent.on(self.parts.vectors.device)
        for trained in gathered(self._trainer(list(self._members(placed, bin)), placed)):
            chunk = trained.cpu()
            messages = self._post(chunk, sent)
            total.take(messages, self.parts.aggregator)
            total.count(chunk.counters)
            if sent.decomposes:
                self._decompose(chunk, messages.clients, total)
        return total

    def measure(self, sent: Sent, bin: Bin) -> list[dict[str, float]]:
        """What is measured at each client of a bin, see :meth:`Measuring.client`."""
        placed = sent.on(self.parts.vectors.device)
        pairs = zip(bin.clients, bin.states, strict=True)
        return [self._measuring.client(placed, client, state) for client, state in pairs]

    def _decompose(self, chunk: Chunk, clients: Sequence[int], total: Total) -> None:
        """Note the loss of each client's model on its own samples, and on those of all."""
        everything = self.parts.assembly.splits.validation
        assert everything is not None
        for member, weights, buffers in zip(
            chunk.members, chunk.weights, chunk.buffers, strict=True
        ):
            if member.id in clients:
                own = self.parts.table.subset(member.rows)
                for name, table in ((OWN_LOSS, own), (GLOBAL_LOSS, everything)):
                    loss = self._measuring.loss(weights, buffers, table)
                    total.further.setdefault(name, []).append(loss)
        self.parts.vectors.module.train()

    def _members(self, sent: Sent, bin: Bin) -> Iterator[Member]:
        # Asked once: with many clients each question takes its time.
        staying = self.parts.staying if self.parts.staying else None
        of_all = self.parts.rows.training_of(np.array(bin.clients, dtype=np.int64))
        for client, rows, kept in zip(bin.clients, of_all, bin.states, strict=True):
            state = moved(kept, self.parts.vectors.device)
            start = staying.start(sent.weights, sent.buffers, state) if staying else None
            yield Member(client, rows, state, start)
