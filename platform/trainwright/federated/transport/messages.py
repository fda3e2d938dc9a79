"""What clients that have trained send to the server, and what of it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainwright.federated.aggregator import UPDATE, Aggregator, Client, State, overridden
from trainwright.federated.clients.staying import Staying
from trainwright.federated.clients.trainer import Chunk
from trainwright.federated.layout import Layout
from trainwright.federated.transport.outgoing import BUFFERS, Outgoing
from trainwright.federated.transport.sent import Sent


@dataclass(frozen=True)
class Messages:
    """What k clients send, with the clients that are left out taken out.

    Attributes:
        clients: their numbers.
        samples: samples of each, shape (k,), float64.
        parts: each part of their messages, shape (k, ...).
        buffers: shape (k, q).
        losses: shape (k,).
        norms: L2 norms of the updates before they are changed on their way, shape (k,).
        states: what each keeps.
        dropped: clients whose updates were not finite.
        num_within: updates that were within the clip.
        num_bytes: what all of them send.
        are_masked: whether parts and buffers are integers under masks, times the weights already.
    """

    clients: list[int]
    samples: Tensor
    parts: dict[str, Tensor]
    buffers: Tensor
    losses: Tensor
    norms: Tensor
    states: list[State]
    dropped: list[int]
    num_within: int
    num_bytes: int
    are_masked: bool

    @classmethod
    def none(cls, dropped: list[int]) -> Messages:
        """Where all clients are left out."""
        nothing = torch.zeros(0)
        return cls(
            clients=[],
            samples=nothing.double(),
            parts={},
            buffers=nothing,
            losses=nothing,
            norms=nothing,
            states=[],
            dropped=dropped,
            num_within=0,
            num_bytes=0,
            are_masked=False,
        )


class Postbox:
    """Makes messages.

    Args:
        aggregator: says what is sent and kept.
        layout: of the weights.
        staying: what does not leave the clients.
        outgoing: what is done to updates on their way.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        layout: Layout,
        staying: Staying,
        outgoing: Outgoing,
    ) -> None:
        self._aggregator = aggregator
        self._layout = layout
        self._staying = staying
        self._outgoing = outgoing
        self._has_end = overridden(aggregator, "end")

    def __call__(self, chunk: Chunk, sent: Sent) -> Messages:
        """The messages of clients that have trained."""
        updates, buffers = chunk.weights - sent.weights, chunk.buffers
        norms = torch.linalg.vector_norm(updates, dim=1)
        finite = (norms + chunk.losses).isfinite()
        dropped = [m.id for m, good in zip(chunk.members, finite.tolist(), strict=True) if not good]
        chosen = list(range(len(chunk.members)))
        if dropped:
            chosen = finite.nonzero().flatten().tolist()
            if not chosen:
                return Messages.none(dropped)
            updates, buffers = updates[chosen], buffers[chosen]
        kept: list[State] = [{}] * len(chosen)
        if self._staying:
            kept = [self._staying.kept(chunk.weights[i], chunk.buffers[i]) for i in chosen]
            updates, buffers = self._staying.withhold(updates, buffers, sent.buffers)
        parts = {UPDATE: updates}
        if self._has_end:
            parts, kept = self._ended(chunk, chosen, updates, kept, sent)
        clients = [chunk.members[i].id for i in chosen]
        if self._has_end or self._staying or dropped:
            norms = torch.linalg.vector_norm(parts[UPDATE], dim=1)
        parts[UPDATE], within, num_bytes = self._outgoing.updates(parts[UPDATE], clients, sent)
        samples = torch.tensor(
            [chunk.members[i].rows.shape[0] for i in chosen], dtype=torch.float64
        )
        if self._outgoing.masks:
            parts, buffers = self._masked(parts, buffers, samples, clients, sent)
            num_bytes = 0
        others = (part for name, part in parts.items() if num_bytes == 0 or name != UPDATE)
        num_bytes += sum(part.numel() * part.element_size() for part in (*others, buffers))
        return Messages(
            clients,
            samples,
            parts,
            buffers,
            chunk.losses[chosen],
            norms,
            kept,
            dropped,
            len(chosen) if within is None else int(within.sum()),
            num_bytes,
            self._outgoing.masks,
        )

    def _masked(
        self,
        parts: Mapping[str, Tensor],
        buffers: Tensor,
        samples: Tensor,
        clients: Sequence[int],
        sent: Sent,
    ) -> tuple[dict[str, Tensor], Tensor]:
        weights = weights_of(self._aggregator, samples)
        hidden = self._outgoing.masked({**parts, BUFFERS: buffers}, weights, clients, sent)
        return hidden, hidden.pop(BUFFERS)

    def _ended(
        self,
        chunk: Chunk,
        chosen: Sequence[int],
        updates: Tensor,
        kept: Sequence[State],
        sent: Sent,
    ) -> tuple[dict[str, Tensor], list[State]]:
        """What the aggregator makes of the updates, client by client."""
        messages: list[Mapping[str, Tensor]] = []
        states: list[State] = []
        for place, update, stays in zip(chosen, updates, kept, strict=True):
            member = chunk.members[place]
            client = Client(
                member.id,
                sent.round,
                len(member.rows),
                chunk.steps[place],
                sent.lr,
                sent.weights,
                sent.shared,
                member.state,
                self._layout,
            )
            message, state = self._aggregator.end(update, client)
            messages.append(message)
            states.append({**state, **stays})
        parts = {name: torch.stack([m[name] for m in messages]) for name in messages[0]}
        return parts, states


def weights_of(aggregator: Aggregator, samples: Tensor) -> Tensor:
    """By what clients with so many samples count, float64 of shape (k,)."""
    return samples if aggregator.weighting == "samples" else torch.ones_like(samples)
