"""Which topological features of two images are the same: the Betti matching of their barcodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trainwright_objectives.cubical_persistence import (
    Construction,
    Filtration,
    Floats,
    Intervals,
    Ints,
    barcode,
    filtration,
    lengths,
)

NEVER = -1
"""In the place of a pixel: the feature does not die; its partner in the other image neither."""


class Matching(NamedTuple):
    """The features of one dimension in two images, as pixels of birth and death.

    Attributes:
        matched: those that correspond: birth and death in the first and in the second image,
            shape (n, 4).
        first: those of the first image that have no partner, shape (n, 2).
        second: those of the second image, shape (n, 2).
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
    """The features of two images that have the same part in the union of both.

    Pixels enter from the lowest value to the highest, those of the union at the lower of both.

    Args:
        first: values of the pixels, shape (H, W).
        second: the same shape.
        construction: of the complex, see :mod:`trainwright_objectives.cubical_persistence`.
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
        images: the two images.
        bars: the barcode of each.
        maps: that of its inclusion into the union, short intervals too.
        deaths: of the union's intervals.
    """
    partners = np.full((2, images[0].grid.size + 1), -1)
    for partner, bar, into in zip(partners, bars, maps, strict=True):
        dies = _lookup(bar, len(partner))
        found = (dies[into.birth] >= 0) & np.isin(into.death, deaths)
        partner[into.death[found]] = into.birth[found]
    births = partners[:, (partners >= 0).all(axis=0)]
    pairs, alone = [], []
    for image, bar, birth in zip(images, bars, births, strict=True):
        own = Intervals(birth, _lookup(bar, len(partners[0]))[birth])
        pairs.append(_pixels(image, own))
        left = ~np.isin(bar.birth, birth)
        alone.append(_pixels(image, Intervals(bar.birth[left], bar.death[left])))
    return Matching(np.concatenate(pairs, axis=1), *alone)


def _lookup(bar: Intervals, size: int) -> Ints:
    """Birth -> death, -1 where no interval is born."""
    found = np.full(size, -1)
    found[bar.birth] = bar.death
    return found


def _pixels(image: Filtration, intervals: Intervals) -> Ints:
    """The pixels from which births and deaths have their values, shape (n, 2)."""
    pixel = np.append(image.pixel, NEVER)
    return np.stack([pixel[intervals.birth], pixel[intervals.death]], axis=1)
