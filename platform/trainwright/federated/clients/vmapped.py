"""Objectives in a form that ``torch.vmap`` works on at once."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainwright.objective import WeightedSum


def adapt(terms: WeightedSum) -> None:
    """Put other forms in the places of objectives that ``torch.vmap`` takes apart in Python.

    Values and gradients stay the same, but for rounding in the mean.
    """
    for term in terms:
        found = term.objective
        if type(found) is not nn.CrossEntropyLoss or found.weight is not None:
            continue
        if found.label_smoothing == 0.0:
            ignored, reduction = found.ignore_index, found.reduction
            term.objective = _CrossEntropy(ignore_index=ignored, reduction=reduction)


class _CrossEntropy(nn.CrossEntropyLoss):
    """Cross-entropy by functions that have a batching rule, which torch's kernel has not."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """As torch's, for class indices; for probabilities torch's itself."""
        if target.is_floating_point():
            return super().forward(input, target)
        dim = min(input.dim() - 1, 1)
        kept = target != self.ignore_index
        classes = torch.where(kept, target, 0).unsqueeze(dim)
        chosen = functional.log_softmax(input, dim).gather(dim, classes).squeeze(dim)
        losses = torch.where(kept, -chosen, 0.0)
        if self.reduction == "none":
            return losses
        return losses.sum() / kept.sum() if self.reduction == "mean" else losses.sum()
