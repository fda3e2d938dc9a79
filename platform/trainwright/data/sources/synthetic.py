"""Generated data of any size: the same numbers for the same options on every machine."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field

from trainwright.data.random import integers, key, normal, uniform
from trainwright.data.table import Table

_Count = Annotated[int, Field(gt=0)]
_Spread = Annotated[float, Field(ge=0)]
_BLOCK = 1 << 20
"""Numbers that are drawn at a time, where there may be very many."""


def synthetic_classification(
    num_samples: _Count = 1000,
    num_features: _Count = 20,
    num_classes: Annotated[int, Field(gt=1)] = 4,
    noise: _Spread = 1.0,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Normal clouds of points around one random centre per class.

    Columns ``features`` and ``target``. Centres are drawn from the standard normal distribution,
    so that ``noise`` relative to the square root of ``num_features`` says how much classes overlap.

    Args:
        num_samples: rows, with classes in turn, so that their sizes differ by at most one.
        num_features: length of a sample.
        num_classes: number of clouds.
        noise: standard deviation of a cloud.
        seed: decides centres and points.
    """
    rows = torch.arange(num_samples)
    centres = normal(
        key("classification", seed, "centres"), torch.arange(num_classes), (num_features,)
    )
    points = normal(key("classification", seed, "points"), rows, (num_features,))
    target = rows % num_classes
    return Table.from_arrays(
        {"features": centres[target] + noise * points, "target": target},
        {"features": "vector", "target": "class"},
    )


def synthetic_regression(
    num_samples: _Count = 1000,
    num_features: _Count = 10,
    num_outputs: _Count = 1,
    noise: _Spread = 0.1,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Values that depend linearly on standard normal features, with noise.

    Columns ``features`` and ``target`` of shape ``(num_outputs,)``. Weights are normal with
    variance ``1 / num_features``: without noise every output has about unit variance.

    Args:
        num_samples: rows.
        num_features: length of a sample.
        num_outputs: values to predict.
        noise: standard deviation of the noise on each value; the error no model can avoid.
        seed: decides weights, features and noise.
    """
    rows = torch.arange(num_samples)
    features = normal(key("regression", seed, "features"), rows, (num_features,))
    weights = normal(key("regression", seed, "weights"), torch.arange(num_features), (num_outputs,))
    errors = normal(key("regression", seed, "noise"), rows, (num_outputs,))
    # Summed feature by feature: a matrix product may round differently on another machine.
    values = (features.unsqueeze(2) * weights / num_features**0.5).sum(dim=1) + noise * errors
    return Table.from_arrays(
        {"features": features, "target": values}, {"features": "vector", "target": "value"}
    )


def synthetic_images(
    num_samples: _Count = 1000,
    image_size: _Count = 16,
    channels: _Count = 3,
    num_classes: Annotated[int, Field(gt=1)] = 10,
    noise: _Spread = 0.5,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Images of one random pattern per class, shifted around the edges at random, with noise.

    Columns ``image`` (channels, image_size, image_size), about zero mean and unit variance without
    noise, and ``target``. The shifts make convolutions useful: pixel by pixel the classes hardly
    differ.

    Args:
        num_samples: rows, with classes in turn, so that their sizes differ by at most one.
        image_size: height and width in pixels.
        channels: colour channels.
        num_classes: number of patterns.
        noise: standard deviation of the noise on each pixel.
        seed: decides patterns, shifts and noise.
    """
    rows = torch.arange(num_samples)
    shape = (channels, image_size, image_size)
    target = rows % num_classes
    patterns = normal(key("images", seed, "patterns"), torch.arange(num_classes), shape)
    shift = integers(key("images", seed, "shifts"), rows, 0, image_size, (2,))
    line = torch.arange(image_size)
    images = torch.empty((num_samples, *shape))
    # Random numbers are wide before they are numbers: of all at once, nine times the images.
    for some in torch.split(rows, max(1, _BLOCK // math.prod(shape))):
        y = ((line + shift[some, :1]) % image_size)[:, :, None]
        x = ((line + shift[some, 1:]) % image_size)[:, None, :]
        places = target[some, None, None], y, x
        shifted = patterns.permute(0, 2, 3, 1)[places].permute(0, 3, 1, 2)
        images[some] = shifted + noise * normal(key("images", seed, "noise"), some, shape)
    return Table.from_arrays(
        {"image": images, "target": target}, {"image": "image", "target": "class"}
    )


def synthetic_dictionary(
    num_samples: _Count = 5000,
    num_features: _Count = 32,
    num_atoms: _Count = 128,
    num_active: Annotated[float, Field(gt=0)] = 4.0,
    noise: _Spread = 0.02,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """Sums of few out of many directions, some of which occur much more often than others.

    Columns ``features`` and ``num_active``, the number of directions in a sample, shape (1,).
    Direction i occurs with a probability proportional to 1 / i, at most 0.9, times the sample's
    own difficulty, uniform in [0, 2), at most 0.95; with a weight uniform in [0.5, 1.5).

    Args:
        num_samples: rows.
        num_features: length of a sample.
        num_atoms: directions, of length 1, drawn at random.
        num_active: how many a sample has on average, before probabilities are cut off.
        noise: standard deviation of the noise on each number.
        seed: decides directions and samples.
    """
    rows = torch.arange(num_samples)
    atoms = normal(key("dictionary", seed, "atoms"), torch.arange(num_atoms), (num_features,))
    law = 1 / torch.arange(1, num_atoms + 1)
    often = (num_active * law / law.sum()).clamp(max=0.9)
    difficulty = 2 * uniform(key("dictionary", seed, "difficulty"), rows)[:, None]
    drawn = uniform(key("dictionary", seed, "active"), rows, (num_atoms,))
    active = drawn < (often * difficulty).clamp(max=0.95)
    weight = 0.5 + uniform(key("dictionary", seed, "weight"), rows, (num_atoms,))
    errors = normal(key("dictionary", seed, "noise"), rows, (num_features,))
    directions = atoms / atoms.norm(dim=1, keepdim=True)
    # Summed atom by atom: a matrix product may round differently on another machine.
    features = noise * errors
    for atom, share in zip(directions, (active * weight).T, strict=True):
        features += share[:, None] * atom
    return Table.from_arrays(
        {"features": features, "num_active": active.sum(dim=1)},
        {"features": "vector", "num_active": "value"},
    )
