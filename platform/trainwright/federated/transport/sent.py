"""What the server sends to everyone in a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from trainwright.federated.aggregator import State


@dataclass(frozen=True)
class Sent:
    """What the server sends to everyone in a round; it travels once to each process.

    Attributes:
        round: the round, from 0.
        lr: learning rate of the clients.
        weights: shape (d,), float32.
        buffers: floating-point buffers, shape (q,), float32.
        counters: the other buffers, by name.
        shared: what the aggregator sends besides.
        privacy: the state of clipping.
        cohort: all who were asked, where messages are masked.
        decomposes: whether each client's model is evaluated before its update is sent.
    """

    round: int
    lr: float
    weights: Tensor
    buffers: Tensor
    counters: Mapping[str, Tensor] = field(default_factory=dict)
    shared: State = field(default_factory=dict)
    privacy: Mapping[str, float] = field(default_factory=dict)
    cohort: Sequence[int] = ()
    decomposes: bool = False

    def on(self, device: torch.device) -> Sent:
        """The same, where clients train."""
        if device.type == "cpu":
            return self
        return replace(
            self,
            weights=self.weights.to(device),
            buffers=self.buffers.to(device),
            counters=moved(self.counters, device),
            shared=moved(self.shared, device),
        )

    @property
    def num_bytes(self) -> int:
        """Bytes that each client receives."""
        tensors = (self.weights, self.buffers, *self.counters.values(), *self.shared.values())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def moved(tensors: Mapping[str, Tensor], device: torch.device) -> Mapping[str, Tensor]:
    """Named tensors on a device; the same ones on the CPU, where they come from."""
    if device.type == "cpu":
        return tensors
    return {name: tensor.to(device) for name, tensor in tensors.items()}
