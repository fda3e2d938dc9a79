"""Measuring the model at clients: the sent one, and what a client makes of it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from trainwright.data.rows import Rows
from trainwright.federated.aggregator import State
from trainwright.federated.clients.sequential import Sequential
from trainwright.federated.clients.trainer import Member
from trainwright.federated.parts import Parts
from trainwright.federated.transport.sent import Sent

GLOBAL, PERSONAL = "client", "personalised"
"""First part of the names of what is measured."""


class Measuring:
    """Evaluates weights on the samples of clients, and on those of all.

    Args:
        parts: of the federation.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        evaluation = parts.spec.federation.client_evaluation
        self._personal: Sequential | None = None
        if evaluation is not None and evaluation.personalise is not None:
            self._personal = Sequential(replace(parts.local(), training=evaluation.personalise))

    def loss(self, weights: Tensor, buffers: Tensor, table: Rows) -> float:
        """The mean loss over a table, with the weights (d,) and buffers (q,)."""
        return self._evaluated(weights, buffers, table, GLOBAL)[f"{GLOBAL}/loss"]

    def client(self, sent: Sent, client: int, state: State) -> dict[str, float]:
        """Loss and metrics on a client's own samples, those that it does not train on if any.

        Returns:
            ``client/<name>`` with the model that was sent, and ``personalised/<name>`` after the
            client has trained it, where the job asks for that; nothing of a client without samples
            to measure on.
        """
        parts = self._parts
        rows = parts.rows.measured(client)
        if len(rows) == 0:
            return {}
        start = (sent.weights, sent.buffers)
        if parts.staying:
            start = parts.staying.start(*start, state)
        table = parts.table.subset(rows)
        found = self._evaluated(*start, table, GLOBAL)
        if self._personal is not None:
            member = Member(client, parts.rows.training(client), state, start)
            for chunk in self._personal([member], sent):
                found |= self._evaluated(chunk.weights[0], chunk.buffers[0], table, PERSONAL)
        return found

    def _evaluated(
        self, weights: Tensor, buffers: Tensor, table: Rows, prefix: str
    ) -> dict[str, float]:
        vectors = self._parts.vectors
        with torch.no_grad():
            vectors.weights.copy_(weights)
            vectors.buffers.copy_(buffers)
        return self._parts.evaluator(table, prefix)
