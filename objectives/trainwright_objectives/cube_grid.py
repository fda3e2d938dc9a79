"""Images as complexes of cubes: vertices, edges and squares on a grid.

With the construction ``V`` pixels are vertices, with edges between neighbours and squares between
four, so that bright pixels are 4-connected and the ground is 8-connected; with ``T`` pixels are
squares, and it is the other way round. A cube is named by its place on the grid, a flat index,
which is the same for all images of one size.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Construction = Literal["V", "T"]


class Grid(NamedTuple):
    """The cubes of images of one size.

    Attributes:
        size: number of cubes; also the place of the outer square, around the image.
        edges: places of the edges.
        ends: the two vertices of the edge at each place, shape (size, 2).
        sides: the two squares beside it, shape (size, 2).
        dimension: of each cube, shape (size,).
        pixels: the up to four pixels around a cube, row by row, shape (4, size).
        turn: in which order a pixel claims the cubes around it, shape (4, size).
    """

    size: int
    edges: Ints
    ends: Ints
    sides: Ints
    dimension: Ints
    pixels: Ints
    turn: Ints


@lru_cache(maxsize=8)
def grid(height: int, width: int, construction: Construction) -> Grid:
    """The cubes of images of ``height`` x ``width`` pixels."""
    shift = 0 if construction == "V" else 1
    rows, columns = 2 * height - 1 + 2 * shift, 2 * width - 1 + 2 * shift
    x, y = (part.ravel() for part in np.mgrid[:rows, :columns])
    dimension = x % 2 + y % 2
    upright, here, size = x % 2 == 1, np.arange(rows * columns), rows * columns
    across = np.where(upright, columns, 1)  # from an edge to its vertices
    beside = np.where(upright, 1, columns)  # and to its squares
    place, last = np.where(upright, y, x), np.where(upright, columns, rows) - 1
    sides = [np.where(place > 0, here - beside, size), np.where(place < last, here + beside, size)]
    near = [
        [np.clip((at - shift + low) // 2, 0, length - 1) for low in (0, 1)]
        for at, length in ((x, height), (y, width))
    ]
    pairs = [(i, j) for i in near[0] for j in near[1]]
    turn = np.stack([_turn(x - 2 * i - shift, y - 2 * j - shift) for i, j in pairs])
    return Grid(
        size=size,
        edges=np.flatnonzero(dimension == 1),
        ends=np.stack([here - across, here + across], axis=1),
        sides=np.stack(sides, axis=1),
        dimension=dimension,
        pixels=np.stack([i * width + j for i, j in pairs]),
        turn=turn,
    )


def _turn(down: Ints, right: Ints) -> Ints:
    """The place of a cube among those of its dimension around a pixel, by its offset."""
    corner = (down > 0) * 2 + (right > 0)
    side = np.where(right == 0, np.where(down > 0, 2, 0), np.where(right > 0, 3, 1))
    return np.where(
        (down != 0) & (right != 0), corner, np.where((down == 0) & (right == 0), 0, side)
    )
