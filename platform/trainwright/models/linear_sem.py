"""A linear structural equation model."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn


class LinearSem(nn.Module):
    """Each number of a sample as a weighted sum of the others: a linear structural equation model.

    The weights are those of a graph whose nodes are the numbers; they begin at zero. Which graph
    it becomes is decided by the objective: ``dag_sem_loss``.
    """

    def __init__(self, in_features: Annotated[int, Field(ge=2)]) -> None:
        """Build the weights.

        Args:
            in_features: numbers of one sample; from the data when left out of a job.
        """
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(in_features, in_features))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Outputs for ``x`` of shape (B, in_features).

        Returns:
            ``logits`` (B, in_features), what the others say of each number, and ``weights``
            (B, in_features, in_features), entry (i, j) from i to j, the same for each sample.
        """
        weights = self.weight - torch.diag(self.weight.diagonal())
        return {"logits": x @ weights, "weights": weights.expand(len(x), -1, -1)}
