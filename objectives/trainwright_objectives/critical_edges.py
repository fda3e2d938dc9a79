"""Images cut down to what changes their topology: minima, maxima and the edges between them.

Many images at a time lie on one plane, each in a frame of pixels that enter after all others; a
pixel is named by its place on the flat plane, a square by that of its first corner. Everything is
found by comparing the plane with itself, shifted.

The *time* of an edge is a number that rises in the order in which cubes of one dimension enter:
by value; of equal ones those of a later pixel first; of one pixel those with a later number in
:mod:`trainwright_objectives.lower_links`. The order is that of the code of Stucki and others,
because ties decide which pixels a gradient reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainwright_objectives.lower_links import (
    BESIDE,
    CIRCLE,
    CORNERS,
    CRITICAL,
    JOINS,
    SIDES,
    WAYS,
    Construction,
    Ints,
)

Levels = NDArray[np.int32]
Bytes = NDArray[np.uint8]

_LOWEST, _HIGHEST = np.iinfo(np.int32).min, np.iinfo(np.int32).max
ELDEST = np.iinfo(np.int64).min
"""The age of what was there before all others."""


def levels_of(images: NDArray[Any]) -> Levels:
    """Numbers in the order of the values of ``images``, equal where these are, -0 and 0 too."""
    single = images.astype(np.float32)
    if np.array_equal(single, images):
        bits = (single + np.float32(0)).view(np.int32)
        return bits ^ (bits >> 31 & _HIGHEST)
    return np.unique(images, return_inverse=True)[1].reshape(images.shape).astype(np.int32)


def framed(levels: Levels, construction: Construction) -> Levels:
    """The plane (N, H', W') of images (N, H, W).

    With ``T`` pixels are squares. In reverse, and inside one more frame that then enters before all
    pixels, that is ``V`` with the dimensions exchanged.
    """
    around = ((0, 0), (1, 1), (1, 1))
    if construction == "T":
        levels = np.pad(~levels, around, constant_values=_LOWEST)
    return np.pad(levels, around, constant_values=_HIGHEST)


@dataclass(frozen=True)
class Cubes:
    """Pixels or squares, those that are joined to others as soon as they are there among them.

    Attributes:
        plane: levels, shape (N, H', W').
        backwards: whether time runs backwards, as it does for squares, joined while cubes leave.
        step: from each to that to which it is joined, 0 for minima and maxima, shape (n,).
        join: by which edge: 0 or an index of the next two, shape (n,).
        pixel: from a cube to the pixel with which that edge enters.
        turn: of the edge, among the cubes that enter with that pixel; no two that are joined at one
            pixel have the same.
        age: the lower, the elder, shape (n,).
    """

    plane: Levels
    backwards: bool
    step: Ints
    join: Bytes
    pixel: Ints
    turn: Ints
    age: Ints

    def images(self, first: int, end: int, repeat: int = 1) -> Cubes:
        """Those of some of the images, repeatedly."""
        area = self.plane[0].size
        own = slice(first * area, end * area)
        return replace(
            self,
            plane=np.tile(self.plane[first:end], (repeat, 1, 1)),
            step=np.tile(self.step[own], repeat),
            join=np.tile(self.join[own], repeat),
            age=np.tile(self.age[own], repeat),
        )

    def times(self, pixel: Ints, turn: Ints) -> Ints:
        """When edges join."""
        entry = times(self.plane.ravel(), pixel, turn)
        return ~entry if self.backwards else entry

    def moments(self, cubes: Ints) -> Ints:
        """When some of the cubes are joined."""
        join = self.join[cubes]
        return self.times(cubes + self.pixel[join], self.turn[join])

    def pixels_of(self, cubes: Ints) -> Ints:
        """The pixels with which some of the cubes enter."""
        age = self.age[cubes]
        entry = ~age if self.backwards else age
        found: Ints = len(self.age) - 1 - ((entry & 0xFFFFFFFF) >> 4)
        return found


def times(levels: Levels, pixel: Ints, turn: Any) -> Ints:
    """When cubes enter: the one of number ``turn``, below 16, of a pixel of the flat plane."""
    entry: Ints = levels[pixel].astype(np.int64) << 32 | (levels.size - 1 - pixel) << 4 | turn
    return entry


def turn_of(number: Any) -> Any:
    """The last of the edges or squares of a pixel enters first."""
    return 4 * (3 - number)


def lower_links(plane: Levels) -> Bytes:
    """The lower link of each pixel, as a byte; none for those of the frame."""
    width, flat = plane.shape[2], plane.ravel()
    lower = np.zeros((len(CIRCLE), flat.size), dtype=bool)
    for place, (down, right) in enumerate(CIRCLE):
        shift = down * width + right
        if shift > 0:
            np.greater_equal(flat[:-shift], flat[shift:], out=lower[place, :-shift])
            np.logical_not(lower[place, :-shift], out=lower[place - 4, shift:])
    link = np.zeros(flat.size, dtype=np.uint8)
    for place in range(len(CIRCLE)):
        if place % 2:
            lower[place] &= lower[place - 1]
            lower[place] &= lower[(place + 1) % 8]
        link += lower[place].view(np.uint8) * np.uint8(1 << place)
    frame = link.reshape(plane.shape)
    frame[:, [0, -1]] = frame[:, :, [0, -1]] = 0
    return link


def _looked_up(links: Bytes, table: bytes) -> Bytes:
    return np.frombuffer(links.tobytes().translate(table), dtype=np.uint8)


def pixels(plane: Levels, links: Bytes) -> Cubes:
    """The pixels of a plane, joined to their first neighbour."""
    number, width = np.arange(len(SIDES) + 1), plane.shape[2]
    join = _looked_up(links, JOINS)
    step = np.append(0, _offsets(SIDES, width)).take(join)
    age = times(plane.ravel(), np.arange(plane.size), 0)
    return Cubes(plane, False, step, join, np.zeros_like(number), turn_of(number - 1), age)


def squares(plane: Levels, links: Bytes) -> Cubes:
    """The squares of a plane; what is outside an image is one, the first of its frame."""
    size, corner = plane.size, _offsets(np.minimum(CORNERS, 0), plane.shape[2])
    join, entry = np.zeros(size, dtype=np.uint8), np.full(size, ELDEST)
    each = times(plane.ravel(), np.arange(size), 0)
    for number, (way, shift) in enumerate(zip(WAYS, -corner, strict=True)):
        join[: size - shift] += _looked_up(links, way)[shift:]
        known = entry[: size - shift]
        np.maximum(known, each[shift:] + turn_of(number), out=known)
    here, goal, side = (np.append(0, part) for part in np.unravel_index(np.arange(64), (4, 4, 4)))
    step, age = (corner[goal] - corner[here]).take(join), ~entry
    place = np.arange(size).reshape(plane.shape)
    outside = place[:, :1, :1] - place
    for part in (np.s_[:, :1], np.s_[:, -2:], np.s_[:, :, :1], np.s_[:, :, -2:]):
        step.reshape(plane.shape)[part] = outside[part]
    age[:: plane[0].size] = ELDEST
    return Cubes(plane, True, step, join, -corner[here], turn_of(side) + here, age)


def _offsets(places: Any, width: int) -> Ints:
    """Of places that are given down and right, on the flat plane."""
    flat: Ints = np.asarray(places) @ np.array([width, 1])
    return flat


class Edges(NamedTuple):
    """Critical edges: the pixel with which each enters, and its number there; shape (k,) each."""

    pixel: Ints
    side: Ints

    def ends(self, width: int) -> Ints:
        """The pixels at both ends, shape (2, k)."""
        return np.stack([self.pixel, self.pixel + _offsets(SIDES, width)[self.side]])

    def beside(self, width: int) -> Ints:
        """The squares on both sides, shape (2, k)."""
        corner = _offsets(np.minimum(CORNERS, 0), width)
        squares: Ints = self.pixel + corner[np.array(BESIDE).T[:, self.side]]
        return squares


def critical_edges(links: Bytes) -> Edges:
    """All of a plane."""
    critical = _looked_up(links, CRITICAL)
    pixel = np.flatnonzero(critical)
    some = critical[pixel]
    found = [pixel[(some & 1 << side).astype(bool)] for side in range(len(SIDES))]
    side = np.repeat(np.arange(len(SIDES)), [len(part) for part in found])
    return Edges(np.concatenate(found), side)
