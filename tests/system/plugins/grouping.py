"""Objectives that couple the samples of a group, for jobs in tests."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PairwiseRanking(nn.Module):
    """Samples of one query that are relevant must score above those that are not."""

    couples = "group"
    group = "query"

    def forward(self, logits: Tensor, target: Tensor, query: Tensor) -> Tensor:
        scores = logits[:, 1] - logits[:, 0]
        losses = []
        for group in torch.unique(query):
            own, relevant = scores[query == group], target[query == group] == 1
            margins = own[relevant][:, None] - own[~relevant][None, :]
            losses.append(nn.functional.softplus(-margins).sum() / max(len(own), 1))
        return torch.stack(losses).mean()


class OnTheInstance(PairwiseRanking):
    """Says what it couples where the platform looks too late."""

    couples = "sample"

    def __init__(self) -> None:
        super().__init__()
        self.couples = "group"
