"""The protocol of what is done to an update on its way to the server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Encoded:
    """An update on its way.

    Attributes:
        values: what is sent instead of the numbers, shape (k,); the next transform's input.
        side: what is sent beside them: indices, scales.
        size: elements of the update that it stands for, d.
        num_bytes: bytes of ``side``, as they would be sent.
    """

    values: Tensor
    side: dict[str, Tensor]
    size: int
    num_bytes: int


class UpdateTransform(ABC):
    """Base of all transforms of updates: ``decode`` undoes ``encode`` as far as it can be undone.

    In a chain the first transform of the job encodes first, its ``values`` are the second's
    input, and so on; the server decodes in the reverse order. Both must be pure.
    """

    bits: float | None = None
    """Bits that each of ``values`` takes when it is sent; None: as it was, 32 at first."""

    @abstractmethod
    def encode(self, update: Tensor, generator: torch.Generator) -> Encoded:
        """What is sent.

        Args:
            update: shape (d,), float32.
            generator: random numbers of this client and round.
        """

    @abstractmethod
    def decode(self, encoded: Encoded) -> Tensor:
        """The update that the server takes it for, shape (d,), float32."""
