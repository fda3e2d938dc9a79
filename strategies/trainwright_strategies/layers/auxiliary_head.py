"""A second classifier beside a model's own, on the same features."""

from __future__ import annotations

from typing import Literal

from torch import nn

Kind = Literal["linear", "nonlinear"]
NAME = "auxiliary_head"


def classifier_of(model: nn.Module) -> tuple[str, nn.Linear]:
    """Dotted name and layer of the classifier: the last linear layer in order of registration.

    Raises:
        ValueError: the model has no linear layer.
    """
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not layers:
        raise ValueError(
            "the model has no nn.Linear as its classifier, so the width of its features is unknown"
        )
    return layers[-1]


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
