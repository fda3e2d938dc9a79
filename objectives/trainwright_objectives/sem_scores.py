"""Scores of structural equation models, in which each node is predicted from others."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Score = Literal["least_squares", "logistic"]


def node_losses(logits: Tensor, features: Tensor, score: Score = "least_squares") -> Tensor:
    """What each node of each sample adds to the score, in the shape of ``logits``.

    Args:
        logits: what the other nodes say of each node.
        features: the nodes themselves; for ``logistic`` 0 or 1.
        score: ``least_squares``: half the squared error; ``logistic``: the logistic loss.

    Example:
        >>> node_losses(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 1.0]])).tolist()
        [[2.0, 0.5]]
    """
    if score == "least_squares":
        return 0.5 * (features - logits).square()
    return functional.softplus(logits) - features * logits


def score_gradient(weights: Tensor, features: Tensor, score: Score = "least_squares") -> Tensor:
    """The gradient of a linear model's score by its weights, added up over the samples.

    Args:
        weights: shape (d, d), entry (i, j) from node i to node j.
        features: samples, shape (n, d).
        score: as for :func:`node_losses`.

    Example:
        >>> score_gradient(torch.zeros(2, 2), torch.tensor([[1.0, 2.0]])).tolist()
        [[-1.0, -2.0], [-2.0, -4.0]]
    """
    logits = features @ weights
    predicted = logits if score == "least_squares" else torch.sigmoid(logits)
    return features.T @ (predicted - features)


def steepest(weights: Tensor, gradient: Tensor, l1_weight: float) -> Tensor:
    """The shortest vector among the gradients of a score plus ``l1_weight`` times the L1 norm.

    At a weight of 0 the norm has many: what is left is by how much the score's own gradient
    exceeds them. So it is 0 where the weight is the best one.

    Example:
        >>> steepest(torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.5, 3.0, -1.0]), 1.0).tolist()
        [0.0, 2.0, 0.0]
    """
    kept = torch.where(weights == 0, functional.softshrink(gradient, l1_weight), gradient)
    return kept + l1_weight * weights.sign()
