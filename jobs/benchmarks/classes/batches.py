"""What all sides are given: normal features, and classes as frequent as words are."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright.data.table import Table

INPUTS = 64
"""Numbers of one sample of the table, which the hidden layer turns into features."""


def drawn(num_samples: int, num_classes: int, generator: torch.Generator) -> Tensor:
    """Class indices, class k with a probability of log((k + 2) / (k + 1)) / log(D + 1)."""
    uniform = torch.rand(num_samples, generator=generator, dtype=torch.float64)
    index = ((num_classes + 1) ** uniform).long() - 1
    return index.clamp(max=num_classes - 1)


def batches(
    number: int, size: int, width: int, num_classes: int, seed: int = 0
) -> list[tuple[Tensor, Tensor]]:
    """Features, shape (size, width), and targets, shape (size,), of some batches."""
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(size, width, generator=generator), drawn(size, num_classes, generator))
        for _ in range(number)
    ]


def words(num_samples: int, num_classes: int) -> Table:
    """A data source: columns ``features`` and ``target``."""
    [(features, target)] = batches(1, num_samples, INPUTS, num_classes)
    return Table.from_arrays(
        {"features": features, "target": target}, {"features": "vector", "target": "class"}
    )
