"""Which topological features of two images are the same: the Betti matching of their barcodes.

Pairs of images are taken many at a time; pixels are numbered through, image by image.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainwright_objectives.cubical_persistence import (
    NEVER,
    Filtration,
    Floats,
    Forest,
    filtration,
)
from trainwright_objectives.lower_links import SIDES, Construction, Ints


class Matching(NamedTuple):
    """The features of one dimension in pairs of images, as pixels of birth and death.

    Attributes:
        matched: those that correspond: birth and death in the first and in the second image,
            shape (n, 4); ``NEVER`` twice for features that do not die.
        first: those of first images that have no partner, shape (n, 2).
        second: those of second images, shape (n, 2).
    """

    matched: Ints
    first: Ints
    second: Ints


def match(
    first: Floats,
    second: Floats,
    construction: Construction = "V",
    min_persistence: float = 0.0,
) -> list[Matching]:
    """The features of pairs of images that have the same part in the union of both.

    Pixels enter from the lowest value to the highest, those of the union at the lower of both.

    Args:
        first: values of the pixels, shape (N, H, W).
        second: the same shape.
        construction: of the complex, see :mod:`trainwright_objectives.cubical_persistence`.
        min_persistence: features whose values of birth and death differ by no more are left out.

    Returns:
        For dimension 0 and 1.
    """
    whole = filtration(np.concatenate([first, second, np.minimum(first, second)]), construction)
    return [_matching(whole, dimension, min_persistence, first.size) for dimension in (0, 1)]


def _matching(whole: Filtration, dimension: int, min_persistence: float, size: int) -> Matching:
    """The features of first images and of second ones that are the same one of the unions.

    Args:
        whole: of the first images, the second ones and the unions.
        dimension: of the features.
        min_persistence: of features that count.
        size: number of pixels of all first images.
    """
    forest, bars = whole.forests[dimension], whole.bars(dimension)
    long = bars.length > min_persistence
    partner = _partners(forest, dimension, long)
    both = np.flatnonzero((partner >= 0).all(axis=0))
    # The order in which terms are added up.
    both = both[np.lexsort([_place(forest, dimension)[both], bars.death[both] == NEVER])]
    pixels = np.stack([bars.birth, bars.death], axis=1)
    found = [pixels[one[both]] for one in partner]
    long[partner[:, both]] = False
    side = forest.edges.pixel // (forest.cubes.plane.size // 3)
    for which in (0, 1):
        left = np.flatnonzero(long & (side == which))
        found.append(pixels[left[forest.time[left].argsort()]])
    for of_second in found[1::2]:
        of_second[of_second != NEVER] -= size
    return Matching(np.concatenate(found[:2], axis=1), *found[2:])


def _partners(forest: Forest, dimension: int, long: NDArray[np.bool_]) -> Ints:
    """Features of first and of second images that are part of each of the unions, shape (2, k).

    A component of an image is found by its birth among those that die in the union where the
    union's does; a loop by where it is born, with those that die there where the union's does.
    """
    count = len(forest.cubes.plane) // 3
    size = forest.cubes.plane.size // 3
    side = forest.edges.pixel // size
    feature = np.full(3 * size, -1)
    feature[forest.died[long]] = np.flatnonzero(long)
    images, unions = (0, 2 * count), (2 * count, 3 * count, 2)
    joined, ages = (images, unions) if dimension else (unions, images)
    died = forest.images(*joined).deaths(forest.cubes.images(*ages).age)
    if dimension:
        own, union = np.flatnonzero(side < 2), feature[died % size + 2 * size]
    else:
        own, union = feature[died], np.tile(np.flatnonzero(side == 2), 2)
    found = (own >= 0) & (union >= 0) & long[own] & long[union]
    partner = np.full((2, len(long)), -1)
    partner[side[own[found]], union[found]] = own[found]
    return partner


def _place(forest: Forest, dimension: int) -> Ints:
    """Of the cube of the union at which a feature dies, on the grid of all cubes."""
    if dimension:
        return forest.died
    width = forest.cubes.plane.shape[2]
    row, column = np.divmod(forest.edges.pixel, width)
    down, right = np.array(SIDES)[forest.edges.side].T
    place: Ints = (2 * row + down) * 2 * width + 2 * column + right
    return place
