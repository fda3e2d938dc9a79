"""Persistent homology of grey-level images in dimensions 0 and 1, and of inclusions of them.

An image is a complex of cubes on a grid: with the construction ``V`` pixels are vertices, with
edges between neighbours and squares between four, so that bright pixels are 4-connected and the
ground is 8-connected; with ``T`` pixels are squares, and it is the other way round. A cube is named
by its place on the grid, a flat index, which is the same for all images of one size.

All cubes enter one after the other, in an order that refines that of their values: equal values
by dimension, then by the pixel that gives the value, the first in row order where several do. For
``V`` cubes of an earlier pixel enter later, for ``T`` earlier. The order is that of the code of
Stucki and others, because ties decide which pixels a gradient reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Construction = Literal["V", "T"]


class Grid(NamedTuple):
    """The cubes of images of one size.

    Attributes:
        size: number of cubes; also the name of the outer square, around the image.
        vertices: places of the vertices.
        edges: places of the edges.
        ends: the two vertices of each edge, shape (edges, 2).
        sides: the two squares beside each edge, shape (edges, 2).
        dimension: of each cube, shape (size,).
        pixels: the up to four pixels around a cube, row by row, shape (4, size).
        turn: in which order a pixel claims the cubes around it, shape (4, size).
    """

    size: int
    vertices: Ints
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
    edges = np.flatnonzero(dimension == 1)
    upright = x[edges] % 2 == 1
    across = np.where(upright, columns, 1)  # from an edge to its vertices
    beside = np.where(upright, 1, columns)  # and to its squares
    place, last = np.where(upright, y[edges], x[edges]), np.where(upright, columns, rows) - 1
    size = rows * columns
    sides = [
        np.where(place > 0, edges - beside, size),
        np.where(place < last, edges + beside, size),
    ]
    near = [
        [np.clip((at - shift + low) // 2, 0, length - 1) for low in (0, 1)]
        for at, length in ((x, height), (y, width))
    ]
    pairs = [(i, j) for i in near[0] for j in near[1]]
    turn = np.stack([_turn(x - 2 * i - shift, y - 2 * j - shift) for i, j in pairs])
    return Grid(
        size=size,
        vertices=np.flatnonzero(dimension == 0),
        edges=edges,
        ends=np.stack([edges - across, edges + across], axis=1),
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


@dataclass(frozen=True)
class Filtration:
    """The order in which the cubes of one image enter.

    Attributes:
        grid: its cubes.
        value: at which each cube enters, rising, shape (size,).
        pixel: from which each cube has its value, shape (size,).
        rank: number of each cube in the order, shape (size + 1,); the outer square is last.
        tree: edges that join components, in their order.
        loops: edges that close a loop, in their order.
    """

    grid: Grid
    value: Floats
    pixel: Ints
    rank: Ints
    tree: Ints
    loops: Ints


def filtration(image: Floats, construction: Construction) -> Filtration:
    """The order in which the cubes enter when pixels do from the lowest value to the highest."""
    cubes = grid(*image.shape, construction)
    around = image.ravel()[cubes.pixels]
    chosen = (around.argmax if construction == "V" else around.argmin)(axis=0)
    everywhere = np.arange(cubes.size)
    value, pixel = around[chosen, everywhere], cubes.pixels[chosen, everywhere]
    claim = 4 * pixel + cubes.turn[chosen, everywhere]
    if construction == "V":
        claim = 4 * image.size - 1 - claim
    order = np.lexsort((claim, cubes.dimension, value))
    rank = np.empty(cubes.size + 1, dtype=np.int64)
    rank[order], rank[cubes.size] = everywhere, cubes.size
    tree = _spanning_tree(cubes, rank)
    edges = cubes.edges[np.argsort(rank[cubes.edges])]
    return Filtration(cubes, value, pixel, rank, edges[tree[edges]], edges[~tree[edges]])


def _spanning_tree(cubes: Grid, rank: Ints) -> NDArray[np.bool_]:
    """Which edges join two components when they enter: a minimum spanning tree; shape (size,)."""
    weight, (first, second) = rank[cubes.edges] + 1.0, cubes.ends.T
    graph = coo_matrix((weight, (first, second)), shape=(cubes.size, cubes.size))
    found = np.zeros(cubes.size, dtype=bool)
    entered = np.argsort(rank[:-1])
    found[entered[minimum_spanning_tree(graph.tocsr()).data.astype(np.int64) - 1]] = True
    return found


class Intervals(NamedTuple):
    """The barcode of one dimension: cubes at which features are born and die.

    Attributes:
        birth: shape (n,).
        death: shape (n,); the number of cubes for one that never dies.
    """

    birth: Ints
    death: Ints


def barcode(births: Filtration, deaths: Filtration) -> tuple[Intervals, Intervals]:
    """Components and loops of one image, or those of the map into a larger one.

    Args:
        births: of the image.
        deaths: the same, or of one in which no cube enters later.

    Returns:
        Dimension 0, its last interval being the one that never dies, and dimension 1. Intervals
        that end at the value at which they begin are among them.
    """
    cubes = births.grid
    edge_of = np.zeros(cubes.size, dtype=np.int64)
    edge_of[cubes.edges] = np.arange(len(cubes.edges))
    oldest = cubes.vertices[births.rank[cubes.vertices].argmin()]
    born = _younger(cubes.ends[edge_of[deaths.tree]], births.rank)
    components = Intervals(np.append(born, oldest), np.append(deaths.tree, cubes.size))
    # Loops are the components of what has not entered yet, in reverse.
    loops = births.loops[::-1]
    filled = _younger(cubes.sides[edge_of[loops]], -deaths.rank)
    return components, Intervals(loops, filled)


def _younger(pairs: Ints, age: Ints) -> Ints:
    """For each of the joins of a tree in turn, the eldest cube of the part that is the younger.

    Args:
        pairs: cubes that are joined, shape (n, 2).
        age: of all cubes; the lower, the elder.
    """
    parent = list(range(len(age)))
    ages = age.tolist()
    died = []
    for a, b in pairs.tolist():
        while parent[a] != a:
            parent[a] = a = parent[parent[a]]
        while parent[b] != b:
            parent[b] = b = parent[parent[b]]
        if ages[a] > ages[b]:
            a, b = b, a
        parent[b] = a
        died.append(b)
    return np.array(died, dtype=np.int64)


def lengths(intervals: Intervals, births: Filtration, deaths: Filtration) -> Floats:
    """From the value of birth to that of death; infinite for one that never dies."""
    ends: Any = np.append(deaths.value, np.inf)
    found: Floats = ends[intervals.death] - births.value[intervals.birth]
    return found


def betti_numbers(mask: NDArray[np.bool_], construction: Construction = "V") -> tuple[int, int]:
    """How many components and how many holes a mask (H, W) has."""
    image = filtration(-mask.astype(np.float64), construction)
    counts = [
        int(((image.value[bar.birth] < 0) & (lengths(bar, image, image) > 0)).sum())
        for bar in barcode(image, image)
    ]
    return counts[0], counts[1]
