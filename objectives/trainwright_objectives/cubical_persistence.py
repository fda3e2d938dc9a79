"""Persistent homology of grey-level images in dimensions 0 and 1, and of inclusions of them.

Images are taken many at a time: those of a batch are one complex of as many parts.

All cubes enter one after the other, in an order that refines that of their values, see
:mod:`trainwright_objectives.critical_edges`. Most features end with the pixel with which they
begin; only the others are looked for. They begin or end with a critical edge: one that joins two
components, or one that closes a loop, which in reverse joins two components of what has left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainwright_objectives.critical_edges import (
    ELDEST,
    Cubes,
    Edges,
    critical_edges,
    framed,
    levels_of,
    lower_links,
    pixels,
    squares,
    turn_of,
)
from trainwright_objectives.elder_rule import deaths, ends
from trainwright_objectives.lower_links import SIDES, Construction, Ints

Floats = NDArray[np.float64]

NEVER = -1
"""In the place of a pixel: there is none, for what never ends."""


@dataclass(frozen=True)
class Forest:
    """Parts of images that are joined, pixels or squares, by a critical edge each time.

    Attributes:
        cubes: of which the parts consist.
        edges: that join them, k.
        pairs: of cubes that they join, shape (2, k).
        died: the eldest cube of the part that dies at each, shape (k,).
    """

    cubes: Cubes
    edges: Edges
    pairs: Ints
    died: Ints

    @property
    def time(self) -> Ints:
        """When each edge joins, shape (k,)."""
        return self.cubes.times(self.edges.pixel, turn_of(self.edges.side))

    def images(self, first: int, end: int, repeat: int = 1) -> Forest:
        """That of some of the images, repeatedly."""
        area = self.cubes.plane[0].size
        own = (self.edges.pixel >= first * area) & (self.edges.pixel < end * area)
        shift = (np.arange(repeat) * (end - first) - first) * area
        pixel, died, *pairs = (
            (part[own] + shift[:, None]).ravel()
            for part in (self.edges.pixel, self.died, *self.pairs)
        )
        edges = Edges(pixel, np.tile(self.edges.side[own], repeat))
        return Forest(self.cubes.images(first, end, repeat), edges, np.stack(pairs), died)

    def deaths(self, age: Ints) -> Ints:
        """The same as ``died`` with other ages of the cubes, those in other images.

        A cube that is older than the one to which it is joined is a part of its own until then.
        """
        here = np.arange(len(age))
        to = here + self.cubes.step
        late = age[to] > age
        alone = np.flatnonzero(late)
        pairs = np.concatenate([self.pairs, [alone, to[alone]]], axis=1)
        time = np.concatenate([self.time, self.cubes.moments(alone)])
        to[alone] = alone
        return deaths(ends(to)[pairs], time, age)[: len(self.died)]


def _forest(cubes: Cubes, edges: Edges, pairs: Ints) -> tuple[Forest, Edges]:
    """The forest of what edges join, and the edges that do not."""
    every = Forest(cubes, edges, pairs, np.empty(pairs.shape[1], dtype=np.int64))
    died = every.deaths(cubes.age)
    joins = died >= 0
    own, other = (Edges(*(part[some] for part in edges)) for some in (joins, ~joins))
    return Forest(cubes, own, pairs[:, joins], died[joins]), other


class Bars(NamedTuple):
    """Features of images in one dimension: the pixels at which they are born and die.

    Attributes:
        birth: shape (k,).
        death: shape (k,); ``NEVER`` for one that does not die.
        length: from the value of birth to that of death, shape (k,).
    """

    birth: Ints
    death: Ints
    length: Floats


@dataclass(frozen=True)
class Filtration:
    """What changes the topology of N images (N, H, W) when pixels enter from the lowest value on.

    Attributes:
        values: of the pixels, numbered through, and that of ``NEVER``, infinite.
        places: number of each pixel of the plane; ``NEVER`` for those of the frame.
        forests: one for each dimension, of a join for each feature.
    """

    values: NDArray[Any]
    places: Ints
    forests: tuple[Forest, Forest]

    def bars(self, dimension: int) -> Bars:
        """The features of one dimension but for those that die with the pixel of their birth.

        Those that end at the value at which they begin are among them.
        """
        forest = self.forests[dimension]
        leaf = self.places[forest.cubes.pixels_of(forest.died)]
        edge = self.places[forest.edges.pixel]
        birth, death = (edge, leaf) if dimension else (leaf, edge)
        begin, end = (self.values[pixel].astype(np.float64) for pixel in (birth, death))
        return Bars(birth, death, end - begin)


def filtration(images: NDArray[Any], construction: Construction) -> Filtration:
    """What changes the topology of images (N, H, W) when pixels enter from the lowest value on.

    Args:
        images: values of the pixels.
        construction: of the complex. ``V``: pixels are vertices, those of equal value enter from
            the last to the first; ``T``: pixels are squares, and it is the other way round.
    """
    plane = framed(levels_of(images), construction)
    links, width = lower_links(plane), plane.shape[2]
    edges, vertices = critical_edges(links), pixels(plane, links)
    if construction == "V":
        # A component that never dies does so when it is joined to a pixel of the frame.
        frame = np.arange(1, plane.size, plane[0].size)
        vertices.age[frame] = ELDEST
        down = np.full(len(frame), SIDES.index((1, 0)))
        edges = Edges(*map(np.append, edges, (frame, down)))
    components, loops = _forest(vertices, edges, edges.ends(width))
    others, _ = _forest(squares(plane, links), loops, loops.beside(width))
    places = np.full(plane.shape, NEVER)
    margin = (width - images.shape[2]) // 2
    inside = slice(margin, -margin)
    places[:, inside, inside] = np.arange(images.size).reshape(images.shape)
    forests = (components, others) if construction == "V" else (others, components)
    return Filtration(np.append(images.ravel(), np.inf), places.ravel(), forests)


def betti_numbers(masks: NDArray[np.bool_], construction: Construction = "V") -> Ints:
    """How many components and how many holes each of some masks (N, H, W) has, shape (N, 2)."""
    images = filtration(-masks.astype(np.float32), construction)
    counts = []
    for bar in map(images.bars, (0, 1)):
        real = (images.values[bar.birth] < 0) & (bar.length > 0)
        counts.append(np.bincount(bar.birth[real] // masks[0].size, minlength=len(masks)))
    return np.stack(counts, axis=1)
