"""Generated pictures with a class for every pixel."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from trainwright.data.random import integers, key, normal
from trainwright.data.table import Table

_Count = Annotated[int, Field(gt=0)]


def synthetic_shapes(
    num_samples: _Count = 500,
    image_size: Annotated[int, Field(ge=8)] = 16,
    noise: Annotated[float, Field(ge=0)] = 0.3,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Table:
    """One bright disk or square on a dark noisy ground, with the class of each pixel.

    Columns ``image`` (1, image_size, image_size), 1 inside the shape and 0 outside plus noise, and
    ``target`` (image_size, image_size): 0 ground, 1 disk, 2 square. Both shapes are equally bright,
    so that a pixel's class needs its surroundings.

    Args:
        num_samples: rows, with disks and squares in turn.
        image_size: height and width in pixels.
        noise: standard deviation of the noise on each pixel.
        seed: decides places, sizes and noise.
    """
    rows = torch.arange(num_samples)
    smallest = max(2, image_size // 7)
    # Whole radii: a disk of radius 2.9 would cover the same pixels as a square.
    radius = integers(
        key("shapes", seed, "radius"), rows, smallest, max(smallest + 1, image_size * 3 // 10) + 1
    )
    margin = image_size // 4
    centre = integers(key("shapes", seed, "centre"), rows, margin, image_size - margin, (2,))
    line = torch.arange(image_size)
    y = (line - centre[:, :1]).abs()[:, :, None]
    x = (line - centre[:, 1:]).abs()[:, None, :]
    size = radius[:, None, None]
    disk = (x.square() + y.square()) <= size.square()
    square = (x <= size) & (y <= size)
    is_disk = (rows % 2 == 0)[:, None, None]
    inside = torch.where(is_disk, disk, square)
    target = torch.where(inside, torch.where(is_disk, 1, 2), 0)
    spread = noise * normal(key("shapes", seed, "noise"), rows, (image_size, image_size))
    image = (inside.float() + spread)[:, None]
    return Table.from_arrays(
        {"image": image, "target": target},
        {"image": "image", "target": "class"},
        labels={"target": ["ground", "disk", "square"]},
    )
