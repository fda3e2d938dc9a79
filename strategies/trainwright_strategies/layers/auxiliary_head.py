"""A second classifier beside a model's own, on the same features."""

from __future__ import annotations

from typing import Literal

from torch import nn

Kind = Literal["linear", "nonlinear"]
NAME = "auxiliary_head"


def auxiliary_head(classifier: nn.Linear, kind: Kind, hidden: int, dropout: float) -> nn.Module:
    """A new classifier of the size of ``classifier``.

    Args:
        classifier: the model's own.
        kind: ``linear``, or ``nonlinear``: linear, dropout, batch normalisation, ReLU, linear.
        hidden: width between, nonlinear only.
        dropout: rate in [0, 1), nonlinear only.
    """
    width, classes = classifier.in_features, classifier.out_features
    if kind == "linear":
        return nn.Linear(width, classes)
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.Dropout(dropout),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )
