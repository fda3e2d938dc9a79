"""Which cubes enter with a pixel of an image, and which of them change the topology.

Pixels are vertices of a complex of cubes, with edges between neighbours and squares between four.
With a pixel enter the edges and squares around it of which all other pixels are there already:
its lower link, arcs of sides and corners on a circle of eight. There are few such links, for which
all is looked up:

- Without any side a component is born.
- The first side of the first arc joins the pixel to a component.
- The first side of each further arc is *critical*: it joins two components or closes a loop.
- Any other side closes a loop that one of the corners fills at once. Seen from the loops, which are
  the components of what has not entered yet, each corner is so joined to one that enters later,
  along the arc and away from its first side.
- If all is there, the pixel fills a loop: three corners are joined to the fourth.

Source:
    V. Robins, P. Wood, A. Sheppard, "Theory and algorithms for constructing discrete Morse
    complexes from grayscale digital images", IEEE TPAMI 33, 2011: the critical cubes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Construction = Literal["V", "T"]

SIDES = ((-1, 0), (0, -1), (1, 0), (0, 1))
"""Offsets, down and right, of the neighbours; of those that enter at once the last is first."""
CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))
"""Likewise, of the fourth pixel of each square."""
BESIDE = ((0, 1), (0, 2), (2, 3), (1, 3))
"""The corners at the ends of each side."""
CIRCLE = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""All around a pixel in turn; bit i of a link tells whether the i-th is in it."""

_FULL = 255


def _number(place: int) -> int:
    """Of a place on the circle, among the sides or the corners."""
    offset = CIRCLE[place % 8]
    return CORNERS.index(offset) if place % 2 else SIDES.index(offset)


def _arcs(link: int) -> list[list[int]]:
    """The places of each arc in turn, after which and before which there is a corner outside it."""
    if link == _FULL:
        start = next(place for place in range(0, 8, 2) if _number(place) == len(SIDES) - 1)
        return [list(range(start, start + 8))]
    gap = next(place for place in range(8) if not link >> place & 1)
    arcs: list[list[int]] = [[]]
    for place in range(gap, gap + 8):
        if link >> place % 8 & 1:
            arcs[-1].append(place)
        elif arcs[-1]:
            arcs.append([])
    return [arc for arc in arcs if arc]


def _first(places: list[int]) -> int:
    """The number of that of some sides that enters first."""
    return max(_number(place) for place in places if place % 2 == 0)


def _way(corner: int, arc: list[int]) -> tuple[int, int]:
    """To which corner one of an arc is joined, and the side by which it is: the last to be undone.

    Joins are undone in reverse: what is joined along a way is there when its first side has left.
    """
    first = _first(arc)
    cut = next(at for at, place in enumerate(arc) if place % 2 == 0 and _number(place) == first)
    if len(arc) == len(CIRCLE):
        goal = next(place for place in arc if place % 2 and _number(place) == 0)
    else:
        goal = arc[0] - 1 if arc.index(corner) < cut else arc[-1] + 1
    way = range(min(corner, goal) + 1, max(corner, goal))
    return _number(goal), _first(list(way)) if goal != corner else 0


def _possible(link: int) -> bool:
    """A corner enters after both its sides."""
    return all(
        link >> (place - 1) & 1 and link >> (place + 1) % 8 & 1
        for place in range(1, 8, 2)
        if link >> place & 1
    )


def _tables() -> tuple[bytes, bytes, list[bytes]]:
    joins, critical = bytearray(256), bytearray(256)
    ways = [bytearray(256) for _ in CORNERS]
    for link in filter(_possible, range(1, 256)):
        arcs = _arcs(link)
        firsts = [_first(arc) for arc in arcs]
        joins[link] = 1 + max(firsts)
        critical[link] = sum(1 << side for side in firsts if side != max(firsts))
        for arc in arcs:
            for corner in (place for place in arc if place % 2):
                goal, side = _way(corner, arc)
                here = _number(corner)
                ways[here][link] = 0 if goal == here else 1 + 16 * here + 4 * goal + side
    return bytes(joins), bytes(critical), [bytes(way) for way in ways]


JOINS, CRITICAL, WAYS = _tables()
"""For each link: 1 + the side that joins the pixel, or 0; a bit for each critical side; for each
corner 1 + 16 * itself + 4 * the corner to which it is joined + the side by which, or 0."""
