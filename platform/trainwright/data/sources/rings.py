"""Generated pictures of rings that are hard to see whole."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from trainwright.data.random import integers, key, normal, uniform
from trainwright.data.table import Table

_Count = Annotated[int, Field(gt=0)]
_DIM = 0.35
_SPOTS = 3
_BLUR = 0.7


def synthetic_rings(
    num_samples: _Count = 200,
    image_size: Annotated[int, Field(ge=16)] = 24,
    noise: Annotated[float, Field(ge=0)] = 0.2,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """One or two bright rings, each dimmed in places, blurred, on a noisy ground, with their mask.

    Columns ``image`` (1, image_size, image_size) and ``target``, the mask of the whole rings. A
    segmentation with few wrong pixels may still break a ring, so that its hole is lost.

    Args:
        num_samples: rows, with one and two rings in turn.
        image_size: height and width in pixels.
        noise: standard deviation of the noise on each pixel.
        seed: decides places, sizes, dim spots and noise.
    """
    rows = torch.arange(num_samples)
    mask = torch.zeros(num_samples, image_size, image_size, dtype=torch.bool)
    light = torch.ones(num_samples, image_size, image_size)
    for ring in (0, 1):
        drawn, dim = _ring(rows, image_size, key("rings", seed, ring))
        there = ((rows % 2 == 1) | (ring == 0))[:, None, None]
        mask |= drawn & there
        light = torch.where(dim & there, _DIM, light)
    spread = noise * normal(key("rings", seed, "noise"), rows, (image_size, image_size))
    image = (_blurred(mask * light) + spread)[:, None]
    return Table.from_arrays({"image": image, "target": mask}, {"image": "image", "target": "mask"})


def _ring(rows: Tensor, size: int, own: int) -> tuple[Tensor, Tensor]:
    """A ring of half-width 1 in each image, and up to three spots of 3 x 3 pixels on it."""
    radius = 3.5 + (size / 4 - 3.5) * uniform(key(own, "radius"), rows)
    margin = radius + 2
    centre = margin[:, None] + (size - 1 - 2 * margin[:, None]) * uniform(
        key(own, "centre"), rows, (2,)
    )
    line = torch.arange(size, dtype=torch.float32)
    y = line[None, :, None] - centre[:, 0, None, None]
    x = line[None, None, :] - centre[:, 1, None, None]
    ring = ((y.square() + x.square()).sqrt() - radius[:, None, None]).abs() <= 1
    angles = 2 * math.pi * uniform(key(own, "angles"), rows, (_SPOTS,))
    count = integers(key(own, "spots"), rows, 1, _SPOTS + 1)
    dim = torch.zeros_like(ring)
    for spot in range(_SPOTS):
        down = (y - (radius * angles[:, spot].sin()).round()[:, None, None]).abs() <= 1.5
        right = (x - (radius * angles[:, spot].cos()).round()[:, None, None]).abs() <= 1.5
        dim |= down & right & (spot < count)[:, None, None]
    return ring, dim


def _blurred(image: Tensor) -> Tensor:
    """By a Gaussian of five pixels, one dimension after the other."""
    offsets = torch.arange(-2.0, 3.0)
    weights = torch.exp(-offsets.square() / (2 * _BLUR**2))
    weights = weights / weights.sum()
    padded = functional.pad(image, (2, 2, 2, 2))
    across = sum(w * padded[:, :, k : k + image.shape[2]] for k, w in enumerate(weights))
    assert isinstance(across, Tensor)
    found = sum(w * across[:, k : k + image.shape[1]] for k, w in enumerate(weights))
    assert isinstance(found, Tensor)
    return found
