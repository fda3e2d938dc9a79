"""A temperature for each sample, from how likely views of it find its likeliest classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def view_features(logits: Tensor, views: Sequence[Tensor], top_k: int) -> Tensor:
    """How likely the views find the likeliest classes of the sample itself.

    Args:
        logits: of the samples, shape (B, C).
        views: logits of each view of them, shape (B, C).
        top_k: how many classes; at most C of them are taken.

    Returns:
        Shape (B, min(top_k, C) * number of views), view after view.
    """
    classes = logits.topk(min(top_k, logits.shape[1]), dim=1).indices
    return torch.cat([view.float().softmax(dim=1).gather(1, classes) for view in views], dim=1)


class TemperatureNetwork(nn.Module):
    """A temperature for each sample: a hidden layer of few units on its features, clamped.

    Args:
        num_features: of a sample.
        hidden: units; 0 for one temperature for all samples.
        t_min: smallest temperature.
        t_max: largest.
    """

    def __init__(self, num_features: int, hidden: int, t_min: float, t_max: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, hidden) if hidden else None
        self.weight = nn.Parameter(torch.randn(hidden) / max(hidden, 1) ** 0.5)
        # At the 0 of an ordinary layer half of the samples would be clamped, without a gradient.
        self.bias = nn.Parameter(torch.ones(1))
        self.t_min = t_min
        self.t_max = t_max

    def forward(self, view_features: Tensor) -> Tensor:
        """Temperatures, shape (B,), of features of shape (B, num_features)."""
        found = self.bias.expand(len(view_features))
        if self.hidden is not None:
            found = found + self.hidden(view_features).relu() @ self.weight
        return found.clamp(self.t_min, self.t_max)
