"""Changed copies of images that keep their class: rotated, blurred, with less contrast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

View = Callable[[Tensor], Tensor]
"""Images of shape (B, C, H, W) -> images of that shape."""


def rotated(images: Tensor, degrees: float) -> Tensor:
    """Turned counterclockwise around the centre, bilinear, with zeros around.

    Example:
        >>> rotated(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), 90.0).round().tolist()
        [[[[2.0, 4.0], [1.0, 3.0]]]]
    """
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    height, width = images.shape[2:]
    # In pixels the turn is a turn; the grid counts in half heights and half widths.
    turn = [[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]]
    matrix = images.new_tensor(turn).expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Smoothed by a normal kernel of that standard deviation in pixels; edges are repeated.

    Example:
        >>> bool(blurred(torch.ones(1, 1, 4, 4), 0.6).allclose(torch.ones(1, 1, 4, 4)))
        True
    """
    reach = math.ceil(3 * sigma)
    places = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = (-places.square() / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    channels = images.shape[1]
    padded = functional.pad(images, [reach] * 4, mode="replicate")
    rows = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    across = functional.conv2d(padded, rows, groups=channels)
    return functional.conv2d(across, rows.transpose(2, 3), groups=channels)


def flattened(images: Tensor, contrast: float) -> Tensor:
    """Drawn towards the middle grey of images in [0, 1].

    Example:
        >>> flattened(torch.tensor([0.0, 0.5, 1.0]), 0.6).tolist()
        [0.20000000298023224, 0.5, 0.800000011920929]
    """
    return contrast * images + (1 - contrast) * 0.5


def views_of(
    rotations: Sequence[float], blurs: Sequence[float], contrasts: Sequence[float]
) -> list[View]:
    """One view for each number.

    Raises:
        ValueError: a blur or a contrast is out of range.
    """
    if any(not sigma > 0 for sigma in blurs):
        raise ValueError(f"blurs must be above 0, got {list(blurs)}")
    if any(not contrast > 0 for contrast in contrasts):
        raise ValueError(f"contrasts must be above 0, got {list(contrasts)}")
    return [
        *(partial(rotated, degrees=degrees) for degrees in rotations),
        *(partial(blurred, sigma=sigma) for sigma in blurs),
        *(partial(flattened, contrast=contrast) for contrast in contrasts),
    ]
