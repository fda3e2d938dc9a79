"""Model outputs and batch columns for the checks of an objective."""

from __future__ import annotations

import torch
from torch import Tensor

from trainwright.testing.cases import Inputs


def class_scores(num_classes: int = 5, output: str = "logits", target: str = "target") -> Inputs:
    """Scores of shape (B, num_classes) as an output, and a class per sample as a column."""

    def make(size: int, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        scores = torch.randn(size, num_classes, generator=generator)
        return {output: scores}, {target: torch.randint(num_classes, (size,), generator=generator)}

    return make


def values(shape: tuple[int, ...] = (1,), output: str = "logits", target: str = "target") -> Inputs:
    """Values of shape (B, *shape) as an output, and as a column the values they should have."""

    def make(size: int, generator: torch.Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        first = torch.randn(size, *shape, generator=generator)
        return {output: first}, {target: torch.randn(size, *shape, generator=generator)}

    return make
