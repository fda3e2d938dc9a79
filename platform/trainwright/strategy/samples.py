"""The job's samples as strategies see them beside the batches of training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from torch import Tensor, nn

from trainwright.strategy.base import Batch, Outputs


class Samples(Protocol):
    """Samples in their fixed order, read when they are first asked for."""

    def batches(self, split: str = "train", batch_size: int = 256) -> Iterator[dict[str, Tensor]]:
        """All samples of a split with the transforms of evaluation, on the CPU.

        Args:
            split: ``train``, ``validation`` or ``test``.
            batch_size: samples at a time; the last batch may be smaller.

        Raises:
            RunError: the job has no such split, or its data has changed since.
        """
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Outputs:
        """The named outputs of ``model``, its inputs found among the columns as in training."""
        ...
