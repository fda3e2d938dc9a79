"""A finite distribution whose class probabilities are known at each point."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from trainwright.data.random import key, normal, uniform
from trainwright.data.table import Table

_Count = Annotated[int, Field(gt=0)]


def synthetic_conditionals(
    num_points: _Count = 40,
    num_draws: _Count = 50,
    num_features: _Count = 4,
    num_classes: Annotated[int, Field(gt=1)] = 4,
    sharpness: Annotated[float, Field(ge=0)] = 2.0,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Few points, each with class probabilities of its own, and classes drawn from them.

    Columns ``features``, ``target``, and ``probabilities`` of shape ``(num_classes,)``, which are
    those of the point. They do not depend on where it lies, so that no linear model tells them.

    Args:
        num_points: different samples, drawn from the standard normal distribution.
        num_draws: classes drawn for each, one a row; each class as often as is probable, within 1.
        num_features: length of a sample.
        num_classes: number of classes.
        sharpness: factor of the standard normal logits of the probabilities; 0 makes all equal.
        seed: decides points, probabilities and classes.
    """
    points = torch.arange(num_points)
    features = normal(key("conditionals", seed, "points"), points, (num_features,))
    logits = sharpness * normal(key("conditionals", seed, "logits"), points, (num_classes,))
    probabilities = logits.double().softmax(dim=1)
    # Evenly spaced levels of the cumulated probabilities: drawn one by one they would scatter.
    offset = uniform(key("conditionals", seed, "draws"), points)[:, None].double()
    levels = (torch.arange(num_draws) + offset) / num_draws
    target = torch.searchsorted(probabilities.cumsum(dim=1), levels).clamp(max=num_classes - 1)
    rows = points.repeat_interleave(num_draws)
    return Table.from_arrays(
        {
            "features": features[rows],
            "target": target.flatten(),
            "probabilities": probabilities[rows].float(),
        },
        {"features": "vector", "target": "class", "probabilities": "value"},
    )
