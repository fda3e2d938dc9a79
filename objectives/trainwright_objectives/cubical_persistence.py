"""Persistent homology of grey-level images in dimensions 0 and 1, and of inclusions of them.

Images are taken many at a time: those of a batch are one complex of as many parts.

All cubes enter one after the other, in an order that refines that of their values: equal values
by dimension, then by the pixel that gives the value, the first in row order where several do. For
``V`` cubes of an earlier pixel enter later, for ``T`` earlier. The order is that of the code of
Stucki and others, because ties decide which pixels a gradient reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree

from trainwright_objectives.cube_grid import Construction, Grid, Ints, grid

Floats = NDArray[np.float64]

NEVER = -1
"""In the place of a pixel: there is none, for what never enters."""

_ROUNDS = 2
"""How often joins are looked at together before the others go one by one; more gains nothing."""


@dataclass(frozen=True)
class Filtration:
    """The order in which the cubes of each of N images enter.

    Cubes are numbered through: those of an image after those of the one before, each image's last
    being its outer square, which never enters. Pixels are numbered through as well.

    Attributes:
        grid: the cubes of one image.
        value: at which each cube enters, rising, shape (N * (size + 1),).
        pixel: from which each cube has its value, the same shape; ``NEVER`` for the outer square.
        rank: number of each cube in the order of its image, the same shape.
        tree: edges that join components, image by image in their order.
        loops: edges that close a loop, likewise.
    """

    grid: Grid
    value: Floats
    pixel: Ints
    rank: Ints
    tree: Ints
    loops: Ints


def filtration(images: Floats, construction: Construction) -> Filtration:
    """The order in which the cubes enter when pixels do from the lowest value to the highest.

    Args:
        images: values of the pixels, shape (N, H, W).
        construction: of the complex.
    """
    count, pixels = len(images), images[0].size
    cubes = grid(*images.shape[1:], construction)
    # Whose claim comes first: of equal values the first pixel, for V the order is turned round.
    backwards = construction == "V"
    flat = images.reshape(count, pixels)
    order = (
        flat[:, ::-1].argsort(axis=1, kind="stable")
        if backwards
        else flat.argsort(axis=1, kind="stable")
    )
    order = pixels - 1 - order if backwards else order
    first = pixels * np.arange(count)[:, None]
    values = flat.ravel()[order + first]
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(pixels)[None], axis=1)
    claims = 4 * place[:, cubes.pixels] + (3 - cubes.turn if backwards else cubes.turn)
    claim = claims.max(axis=1) if backwards else claims.min(axis=1)
    by = claim // 4 + first
    rank = _ranks(values, by, claim, cubes.dimension)
    tree, loops = _tree_and_loops(cubes, rank)
    return Filtration(
        cubes,
        value=_with_outer(values.ravel()[by], np.inf),
        pixel=_with_outer((order + first).ravel()[by], NEVER),
        rank=_with_outer(rank, cubes.size),
        tree=tree,
        loops=loops,
    )


def _ranks(values: Floats, by: Ints, claim: Ints, dimension: Ints) -> Ints:
    """The number of each cube in the order of its image, without sorting the cubes.

    Args:
        values: of the pixels of each image, rising, shape (N, P).
        by: the place in ``values`` of the pixel that claims a cube, numbered through, (N, size).
        claim: number of each cube among the claims of its image, shape (N, size).
        dimension: of each cube, shape (size,).
    """
    image = np.arange(len(values))[:, None]
    new = np.ones(values.shape, dtype=bool)
    new[:, 1:] = values[:, 1:] > values[:, :-1]
    starts, level = np.flatnonzero(new), np.cumsum(new) - 1
    many = np.diff(starts, append=values.size)[level]
    before = (starts % values.shape[1])[level]
    # Each value has room for all claims of its pixels in dimension 0, then in 1, then in 2.
    slot = claim + 8 * before[by] + 4 * many[by] * dimension + 12 * values.shape[1] * image
    taken = np.zeros(12 * values.size, dtype=bool)
    taken[slot] = True
    ranks: Ints = np.cumsum(taken)[slot] - 1 - dimension.size * image
    return ranks


def _with_outer(values: NDArray[Any], outer: float) -> NDArray[Any]:
    """Values of cubes (N, size) and of the outer squares, numbered through."""
    return np.pad(values, ((0, 0), (0, 1)), constant_values=outer).ravel()


def _tree_and_loops(cubes: Grid, rank: Ints) -> tuple[Ints, Ints]:
    """Edges in their order: a minimum spanning tree of each image joins, the others close loops."""
    stride = cubes.size + 1
    first = stride * np.arange(len(rank))[:, None]
    ends = (first[..., None] + cubes.ends[cubes.edges]).reshape(-1, 2)
    weight = rank[:, cubes.edges] + 1.0
    graph = coo_matrix((weight.ravel(), ends.T), shape=(first.size * stride, first.size * stride))
    found = minimum_spanning_tree(graph.tocsr()).tocoo()
    joins = np.zeros(rank.shape, dtype=bool)
    joins[found.row // stride, found.data.astype(np.int64) - 1] = True
    order = np.empty_like(rank)
    np.put_along_axis(order, rank, np.arange(cubes.size)[None], axis=1)
    closes = (cubes.dimension == 1)[order] & ~joins
    return (order + first)[joins], (order + first)[closes]


class Intervals(NamedTuple):
    """Barcodes in one dimension: cubes at which features are born and die.

    Attributes:
        birth: shape (n,).
        death: shape (n,); the outer square of its image for one that never dies.
    """

    birth: Ints
    death: Ints


def barcode(births: Filtration, deaths: Filtration) -> tuple[Intervals, Intervals]:
    """Components and loops of images, or those of the maps into larger ones.

    Args:
        births: of the images.
        deaths: the same, or of images in which no cube enters later.

    Returns:
        Dimension 0, its last intervals being those that never die, and dimension 1. Intervals
        that end at the value at which they begin are among them.
    """
    cubes, stride = births.grid, births.grid.size + 1
    oldest = np.flatnonzero(births.rank == 0)
    outer = np.arange(cubes.size, len(births.rank), stride)
    born = _younger(_around(cubes.ends, deaths.tree), births.rank)
    components = Intervals(np.append(born, oldest), np.append(deaths.tree, outer))
    # Loops are the components of what has not entered yet, in reverse.
    loops = births.loops[::-1]
    filled = _younger(_around(cubes.sides, loops), -deaths.rank)
    return components, Intervals(loops, filled)


def _around(places: Ints, edges: Ints) -> Ints:
    """``places`` (size, 2) beside edges that are numbered through, shape (n, 2)."""
    place = edges % (len(places) + 1)
    return places[place] + (edges - place)[:, None]


def _younger(pairs: Ints, age: Ints) -> Ints:
    """For each of the joins of a forest in turn, the eldest cube of the part that is the younger.

    A cube whose first join is with an elder one dies there, whatever happens before: all such are
    found at once, and counted to the elder one. The few joins that are left go one by one.

    Args:
        pairs: cubes that are joined, shape (n, 2).
        age: of all cubes; the lower, the elder.
    """
    died = np.empty(len(pairs), dtype=np.int64)
    left = np.arange(len(pairs))
    for _ in range(_ROUNDS):
        at = np.arange(len(pairs))
        first = np.empty(len(age), dtype=np.int64)
        first[pairs[::-1].ravel()] = at[::-1].repeat(2)  # of several the last to be written stays
        swap = age[pairs[:, 0]] > age[pairs[:, 1]]
        younger, elder = np.where(swap, pairs.T, pairs.T[::-1])
        dies = first[younger] == at
        died[left[dies]] = younger[dies]
        into = np.arange(len(age))
        into[younger[dies]] = elder[dies]
        while not np.array_equal(into, further := into[into]):
            into = further
        left, pairs = left[~dies], into[pairs[~dies]]
    names, pairs = np.unique(pairs, return_inverse=True)
    died[left] = names[_younger_in_turn(pairs.reshape(-1, 2).tolist(), age[names].tolist())]
    return died


def _younger_in_turn(pairs: list[list[int]], ages: list[int]) -> Ints:
    """The same one by one."""
    parent = list(range(len(ages)))
    died = []
    for a, b in pairs:
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
    found: Floats = deaths.value[intervals.death] - births.value[intervals.birth]
    return found


def betti_numbers(masks: NDArray[np.bool_], construction: Construction = "V") -> Ints:
    """How many components and how many holes each of some masks (N, H, W) has, shape (N, 2)."""
    images = filtration(-masks.astype(np.float64), construction)
    stride = images.grid.size + 1
    counts = []
    for bar in barcode(images, images):
        real = (images.value[bar.birth] < 0) & (lengths(bar, images, images) > 0)
        counts.append(np.bincount(bar.birth[real] // stride, minlength=len(masks)))
    return np.stack(counts, axis=1)
