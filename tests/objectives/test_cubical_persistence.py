"""Barcodes of images against the reduction of boundary matrices, cube by cube."""

from __future__ import annotations

import numpy as np
import pytest

from trainwright_objectives.barcode_matching import match
from trainwright_objectives.cubical_persistence import barcode, betti_numbers, filtration, lengths

Cube = tuple[int, int]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
SIDES = [(-1, 0), (0, -1), (1, 0), (0, 1)]
CONSTRUCTIONS = pytest.mark.parametrize("construction", ["V", "T"])


def image_of(seed: int, shape: tuple[int, int] = (4, 5), levels: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).random(shape)
    return np.round(values * levels) / levels if levels else values


class Slow:
    """The order of the cubes and everything that follows from it, by its definition."""

    def __init__(self, image: np.ndarray, construction: str) -> None:
        shift = 0 if construction == "V" else 1
        height, width = image.shape
        self.shape = (2 * height - 1 + 2 * shift, 2 * width - 1 + 2 * shift)
        cubes = [(x, y) for x in range(self.shape[0]) for y in range(self.shape[1])]
        self.value: dict[Cube, float] = {}
        keys = {}
        for x, y in cubes:
            around = [
                (i, j)
                for i in range(height)
                for j in range(width)
                if abs(2 * i + shift - x) <= 1 and abs(2 * j + shift - y) <= 1
            ]
            value = (max if construction == "V" else min)(image[p] for p in around)
            i, j = next(p for p in around if image[p] == value)
            offset = (x - 2 * i - shift, y - 2 * j - shift)
            turn = (CORNERS + SIDES).index(offset) % 4 if offset != (0, 0) else 0
            sign = -1 if construction == "V" else 1
            self.value[x, y] = float(value)
            keys[x, y] = (value, x % 2 + y % 2, sign * (i * width + j), sign * turn)
        self.order = sorted(cubes, key=lambda cube: keys[cube])
        self.rank = {cube: index for index, cube in enumerate(self.order)}

    def place(self, cube: Cube) -> int:
        return cube[0] * self.shape[1] + cube[1]


def faces(cube: Cube) -> list[Cube]:
    x, y = cube
    across = [(x - 1, y), (x + 1, y)] if x % 2 else []
    return across + ([(x, y - 1), (x, y + 1)] if y % 2 else [])


def slow_barcode(births: Slow, deaths: Slow) -> list[set[tuple[int, int]]]:
    """Columns in the order of deaths, rows in that of births; the pivot is the youngest face."""
    reduced: dict[int, set[int]] = {}
    found: list[set[tuple[int, int]]] = [set(), set()]
    for cube in deaths.order:
        column = {births.rank[face] for face in faces(cube)}
        while column and max(column) in reduced:
            column ^= reduced[max(column)]
        if column:
            reduced[max(column)] = column
            born = births.order[max(column)]
            found[born[0] % 2 + born[1] % 2].add((births.place(born), deaths.place(cube)))
    oldest = births.order[0]
    found[0].add((births.place(oldest), births.shape[0] * births.shape[1]))
    return found


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 2, 1])
def test_barcodes_of_an_image_and_of_its_inclusion(construction: str, levels: int) -> None:
    for seed in range(4):
        image, other = image_of(seed, levels=levels), image_of(seed + 50, levels=levels)
        union = np.minimum(image, other)
        fast = [filtration(one, construction) for one in (image, union)]
        slow = [Slow(one, construction) for one in (image, union)]
        width, size = slow[0].shape[1], fast[0].grid.size
        ranks = [slow[0].rank[divmod(place, width)] for place in range(size)]
        assert fast[0].rank[:-1].tolist() == ranks
        for second in (0, 1):
            expected = slow_barcode(slow[0], slow[second])
            for dimension, bar in enumerate(barcode(fast[0], fast[second])):
                pairs = set(zip(bar.birth.tolist(), bar.death.tolist(), strict=True))
                assert pairs == expected[dimension]


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_matching_by_its_definition(construction: str, levels: int) -> None:
    """Through image intervals of any length, between intervals of positive length."""
    for seed in range(5):
        images = [image_of(seed, levels=levels), image_of(seed + 50, levels=levels)]
        slow = [Slow(one, construction) for one in (*images, np.minimum(*images))]
        bars = [slow_barcode(one, one) for one in slow]
        size = slow[0].shape[0] * slow[0].shape[1]

        def long(which: int, pair: tuple[int, int]) -> bool:
            value = slow[which].value  # noqa: B023
            columns = slow[which].shape[1]  # noqa: B023
            ends = [divmod(place, columns) for place in pair]
            return pair[1] == size or value[ends[1]] > value[ends[0]]  # noqa: B023

        for dimension, found in enumerate(match(*images, construction)):
            kept = [{p for p in bar[dimension] if long(w, p)} for w, bar in enumerate(bars)]
            partner: list[dict[int, tuple[int, int]]] = []
            for which in (0, 1):
                own = {pair[0]: pair for pair in kept[which]}
                ends = {pair[1] for pair in kept[2]}
                into = slow_barcode(slow[which], slow[2])[dimension]
                partner.append({d: own[b] for b, d in into if b in own and d in ends})
            both = partner[0].keys() & partner[1].keys()
            assert len(found.matched) == len(both)
            assert len(found.first) == len(kept[0]) - len(both)
            assert len(found.second) == len(kept[1]) - len(both)
            values = [[*image.ravel().tolist(), np.inf] for image in images]
            assert sorted((values[0][a], values[1][c]) for a, _, c, _ in found.matched) == sorted(
                tuple(slow[k].value[divmod(partner[k][d][0], slow[k].shape[1])] for k in (0, 1))
                for d in both
            )


def test_a_ring_by_hand() -> None:
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    image = filtration(-ring, "V")
    components, loops = barcode(image, image)
    assert sorted(lengths(components, image, image))[-2:] == [0.0, np.inf]
    assert sorted(lengths(loops, image, image))[-2:] == [0.0, 1.0]
    assert betti_numbers(ring > 0) == (1, 1)


@CONSTRUCTIONS
def test_betti_numbers(construction: str) -> None:
    empty, full = np.zeros((3, 4), dtype=bool), np.ones((3, 4), dtype=bool)
    assert betti_numbers(empty, construction) == (0, 0)
    assert betti_numbers(full, construction) == (1, 0)
    diagonal = np.eye(3, dtype=bool)
    assert betti_numbers(diagonal, construction) == ((3, 0) if construction == "V" else (1, 0))
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    assert betti_numbers(diamond, construction) == ((4, 0) if construction == "V" else (1, 1))


def test_betti_numbers_by_counting() -> None:
    """Components by flooding; holes are components of the ground, 8-connected, but the outer."""
    from scipy.ndimage import label

    for seed in range(20):
        mask = np.random.default_rng(seed).random((9, 11)) > 0.45
        ground = np.pad(~mask, 1, constant_values=True)
        holes = label(ground, np.ones((3, 3)))[1] - 1
        assert betti_numbers(mask) == (label(mask)[1], holes)
