"""Tensors that never leave a client, as FedBN's batch normalisation."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from trainwright.federated.aggregator import State
from trainwright.federated.clients.vectors import VectorModule
from trainwright.federated.layout import Layout

_WEIGHTS, _BUFFERS = "staying/weights", "staying/buffers"


class Staying:
    """The elements of weights and buffers that stay with each client.

    Args:
        vectors: the model.
        names: public names of parameters and buffers.
    """

    def __init__(self, vectors: VectorModule, names: Collection[str]) -> None:
        self._names = frozenset(names)
        self._weights = _places(vectors.layout, names)
        self._buffers = _places(vectors.buffer_layout, names)

    def holds(self, name: str) -> bool:
        """Whether a parameter or buffer stays."""
        return name in self._names

    def __bool__(self) -> bool:
        return len(self._weights) + len(self._buffers) > 0

    def start(self, weights: Tensor, buffers: Tensor, state: State) -> tuple[Tensor, Tensor]:
        """What a client begins with: what was sent, and its own where it has any."""
        if _WEIGHTS not in state:
            return weights, buffers
        places = self._weights.to(weights.device), self._buffers.to(weights.device)
        return (
            weights.index_copy(0, places[0], state[_WEIGHTS]),
            buffers.index_copy(0, places[1], state[_BUFFERS]),
        )

    def kept(self, weights: Tensor, buffers: Tensor) -> dict[str, Tensor]:
        """What a client keeps of the weights (d,) and buffers (q,) that it has come to."""
        return {_WEIGHTS: weights[self._weights], _BUFFERS: buffers[self._buffers]}

    def withhold(self, updates: Tensor, buffers: Tensor, sent: Tensor) -> tuple[Tensor, Tensor]:
        """Updates (k, d) and buffers (k, q) as if nothing had happened to what stays."""
        return (
            updates.index_fill(1, self._weights, 0.0),
            buffers.index_copy(1, self._buffers, sent[self._buffers].expand(len(buffers), -1)),
        )


def _places(layout: Layout, names: Collection[str]) -> Tensor:
    """The indices of the elements of some tensors in their vector."""
    spans = [torch.arange(span.start, span.stop) for span in layout if span.name in names]
    return torch.cat(spans) if spans else torch.zeros(0, dtype=torch.int64)
