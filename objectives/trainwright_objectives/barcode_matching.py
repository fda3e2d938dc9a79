"""Which topological features of two images are the same: the Betti matching of their barcodes.

Pairs of images are taken many at a time; pixels are numbered through, image by image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainwright_objectives.cube_grid import Construction, Ints
from trainwright_objectives.cubical_persistence import (
    Filtration,
    Floats,
    Intervals,
    barcode,
    filtration,
    lengths,
)


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
        construction: of the complex, see :mod:`trainwright_objectives.cube_grid`.
        min_persistence: features whose values of birth and death differ by no more are left out.

    Returns:
        For dimension 0 and 1.
    """
    images = [filtration(one, construction) for one in (first, second)]
    union = filtration(np.minimum(first, second), construction)
    whole = barcode(union, union)
    bars = [barcode(image, image) for image in images]
    maps = [barcode(image, union) for image in images]
    return [
        _matching(
            images,
            [
                _long(bar[dim], image, min_persistence)
                for bar, image in zip(bars, images, strict=True)
            ],
            [into[dim] for into in maps],
            _long(whole[dim], union, min_persistence).death,
        )
        for dim in (0, 1)
    ]


def _long(intervals: Intervals, image: Filtration, min_persistence: float) -> Intervals:
    kept = lengths(intervals, image, image) > min_persistence
    return Intervals(intervals.birth[kept], intervals.death[kept])


def _matching(
    images: Sequence[Filtration],
    bars: Sequence[Intervals],
    maps: Sequence[Intervals],
    deaths: Ints,
) -> Matching:
    """Intervals are matched by their birth with those of the map, these with the union's by death.

    Args:
        images: the first and the second images.
        bars: their barcodes.
        maps: those of their inclusions into the unions, short intervals too.
        deaths: of the unions' intervals.
    """
    size = len(images[0].rank)
    known = np.zeros(size, dtype=bool)
    known[deaths] = True
    dies, partner = np.full((2, 2, size), -1)
    for own, other, bar, into in zip(dies, partner, bars, maps, strict=True):
        own[bar.birth] = bar.death
        found = (own[into.birth] >= 0) & known[into.death]
        other[into.death[found]] = into.birth[found]
    births = partner[:, (partner >= 0).all(axis=0)]
    pairs, alone = [], []
    for image, own, bar, birth in zip(images, dies, bars, births, strict=True):
        pairs.append(_pixels(image, Intervals(birth, own[birth])))
        own[birth] = -1
        left = own[bar.birth] >= 0
        alone.append(_pixels(image, Intervals(bar.birth[left], bar.death[left])))
    return Matching(np.concatenate(pairs, axis=1), *alone)


def _pixels(image: Filtration, intervals: Intervals) -> Ints:
    """The pixels from which births and deaths have their values, shape (n, 2)."""
    return np.stack([image.pixel[intervals.birth], image.pixel[intervals.death]], axis=1)
