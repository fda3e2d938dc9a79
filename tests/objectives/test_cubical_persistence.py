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


def batch_of(first: int, count: int, levels: int) -> np.ndarray:
    return np.stack([image_of(seed, levels=levels) for seed in range(first, first + count)])


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 2, 1])
def test_barcodes_of_images_and_of_their_inclusions(construction: str, levels: int) -> None:
    images, others = batch_of(0, 4, levels), batch_of(50, 4, levels)
    unions = np.minimum(images, others)
    fast = [filtration(some, construction) for some in (images, unions)]
    found = [barcode(fast[0], deaths) for deaths in fast]
    stride = fast[0].grid.size + 1
    for index in range(4):
        slow = [Slow(some[index], construction) for some in (images, unions)]
        own = slice(index * stride, (index + 1) * stride)
        ranks = [slow[0].rank[divmod(place, slow[0].shape[1])] for place in range(stride - 1)]
        assert fast[0].rank[own].tolist() == [*ranks, stride - 1]
        for second in (0, 1):
            expected = slow_barcode(slow[0], slow[second])
            for dimension, bar in enumerate(found[second]):
                mine = bar.birth // stride == index
                pairs = zip(bar.birth[mine] - own.start, bar.death[mine] - own.start, strict=True)
                assert set(pairs) == expected[dimension]


def slow_matching(
    images: list[np.ndarray], construction: str
) -> list[tuple[list[tuple[float, float]], list[int]]]:
    """For each dimension the births of what is matched, and how many intervals are left over.

    Through image intervals of any length, between intervals of positive length.
    """
    slow = [Slow(one, construction) for one in (*images, np.minimum(*images))]
    bars = [slow_barcode(one, one) for one in slow]
    size, width = slow[0].shape[0] * slow[0].shape[1], slow[0].shape[1]

    def long(which: int, pair: tuple[int, int]) -> bool:
        value = slow[which].value
        return pair[1] == size or value[divmod(pair[1], width)] > value[divmod(pair[0], width)]

    result = []
    for dimension in (0, 1):
        kept = [{p for p in bar[dimension] if long(w, p)} for w, bar in enumerate(bars)]
        partner: list[dict[int, int]] = []
        for which in (0, 1):
            own, ends = {pair[0] for pair in kept[which]}, {pair[1] for pair in kept[2]}
            into = slow_barcode(slow[which], slow[2])[dimension]
            partner.append({d: b for b, d in into if b in own and d in ends})
        both = partner[0].keys() & partner[1].keys()
        births = [
            tuple(slow[k].value[divmod(partner[k][death], width)] for k in (0, 1)) for death in both
        ]
        result.append((sorted(births), [len(kept[k]) - len(both) for k in (0, 1)]))
    return result


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_matching_by_its_definition(construction: str, levels: int) -> None:
    images = [batch_of(0, 5, levels), batch_of(50, 5, levels)]
    values = [some.ravel() for some in images]
    found, pixels = match(images[0], images[1], construction), images[0][0].size
    for index in range(5):
        expected = slow_matching([some[index] for some in images], construction)
        for dimension, (births, left) in enumerate(expected):
            matched, *alone = found[dimension]
            mine = matched[matched[:, 0] // pixels == index]
            assert sorted((values[0][a], values[1][c]) for a, _, c, _ in mine) == births
            assert [int((one[:, 0] // pixels == index).sum()) for one in alone] == left


def lifetimes_by_flooding(image: np.ndarray, near: list[tuple[int, int]]) -> list[float]:
    """Lengths of the components of pixels that enter from the lowest value, neighbours joined."""
    label: dict[Cube, Cube] = {}
    found = []
    for pixel in sorted(np.ndindex(*image.shape), key=lambda place: image[place]):
        around = {label[p] for p in ((pixel[0] + i, pixel[1] + j) for i, j in near) if p in label}
        eldest = min(around, key=lambda place: image[place], default=pixel)
        found += [image[pixel] - image[place] for place in around - {eldest}]
        label = {k: eldest if v in around else v for k, v in label.items()}
        label[pixel] = eldest
    return sorted(found)


@pytest.mark.parametrize("kind", ["noise", "smooth"])
def test_lengths_in_larger_images_by_flooding(kind: str) -> None:
    """Loops are components of the ground, 8-connected, entered from the highest value."""
    images = np.random.default_rng(0).random((2, 14, 15))
    if kind == "smooth":
        images = images.cumsum(axis=1).cumsum(axis=2) % 7
    order = filtration(images, "V")
    for index, image in enumerate(images):
        ground = -np.pad(image, 1, constant_values=100.0)
        expected = [
            lifetimes_by_flooding(image, SIDES),
            lifetimes_by_flooding(ground, CORNERS + SIDES),
        ]
        for bar, slow in zip(barcode(order, order), expected, strict=True):
            found = lengths(bar, order, order)[bar.birth // (order.grid.size + 1) == index]
            positive = sorted(found[(found > 0) & np.isfinite(found)])
            assert len(positive) > 5
            np.testing.assert_allclose(positive, slow)


def test_a_ring_by_hand() -> None:
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    image = filtration(-ring[None], "V")
    components, loops = barcode(image, image)
    assert sorted(lengths(components, image, image))[-2:] == [0.0, np.inf]
    assert sorted(lengths(loops, image, image))[-2:] == [0.0, 1.0]
    assert betti_numbers(ring[None] > 0).tolist() == [[1, 1]]


@CONSTRUCTIONS
def test_betti_numbers(construction: str) -> None:
    empty, full = np.zeros((3, 3), dtype=bool), np.ones((3, 3), dtype=bool)
    diagonal = np.eye(3, dtype=bool)
    diamond = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=bool)
    found = betti_numbers(np.stack([empty, full, diagonal, diamond]), construction)
    loose = [[3, 0], [4, 0]] if construction == "V" else [[1, 0], [1, 1]]
    assert found.tolist() == [[0, 0], [1, 0], *loose]


def test_betti_numbers_by_counting() -> None:
    """Components by flooding; holes are components of the ground, 8-connected, but the outer."""
    from scipy.ndimage import label

    masks = np.random.default_rng(0).random((20, 9, 11)) > 0.45
    expected = []
    for mask in masks:
        ground = np.pad(~mask, 1, constant_values=True)
        expected.append([label(mask)[1], label(ground, np.ones((3, 3)))[1] - 1])
    assert betti_numbers(masks).tolist() == expected
