"""Barcodes of images against the reduction of boundary matrices, cube by cube."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright_objectives import elder_rule
from trainwright_objectives.barcode_matching import match
from trainwright_objectives.cubical_persistence import (
    NEVER,
    Filtration,
    Forest,
    betti_numbers,
    filtration,
)
from trainwright_objectives.lower_links import SIDES as OFFSETS

Cube = tuple[int, int]
CORNERS = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
OUTER = (-1, -1)
"""The outer square, which never enters."""
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
        self.pixel: dict[Cube, int] = {}
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
            self.pixel[x, y] = i * width + j
            keys[x, y] = (value, x % 2 + y % 2, sign * (i * width + j), sign * turn)
        self.order = sorted(cubes, key=lambda cube: keys[cube])
        self.rank = {cube: index for index, cube in enumerate(self.order)}

        self.value[OUTER], self.pixel[OUTER] = np.inf, NEVER


def faces(cube: Cube) -> list[Cube]:
    x, y = cube
    across = [(x - 1, y), (x + 1, y)] if x % 2 else []
    return across + ([(x, y - 1), (x, y + 1)] if y % 2 else [])


def slow_barcode(births: Slow, deaths: Slow) -> list[set[tuple[Cube, Cube]]]:
    """Columns in the order of deaths, rows in that of births; the pivot is the youngest face."""
    reduced: dict[int, set[int]] = {}
    found: list[set[tuple[Cube, Cube]]] = [set(), set()]
    for cube in deaths.order:
        column = {births.rank[face] for face in faces(cube)}
        while column and max(column) in reduced:
            column ^= reduced[max(column)]
        if column:
            reduced[max(column)] = column
            born = births.order[max(column)]
            found[born[0] % 2 + born[1] % 2].add((born, cube))
    found[0].add((births.order[0], OUTER))
    return found


def batch_of(first: int, count: int, levels: int) -> np.ndarray:
    return np.stack([image_of(seed, levels=levels) for seed in range(first, first + count)])


def bars_of(order: Filtration, forest: Forest, dimension: int) -> list[list[tuple[Cube, Cube]]]:
    """For each image the cubes with which features begin and end."""
    plane, squares = forest.cubes.plane, int(forest.cubes.backwards)
    # With T pixels, not squares, are what is joined in dimension 1, inside one more frame.
    shift = 2 if squares == dimension else 3
    found: list[list[tuple[Cube, Cube]]] = [[] for _ in plane]
    for pixel, side, leaf in zip(*forest.edges, forest.died, strict=True):
        (image, x, y), (_, i, j) = (np.unravel_index(at, plane.shape) for at in (pixel, leaf))
        down, right = OFFSETS[side]
        edge = (2 * int(x) + down - shift, 2 * int(y) + right - shift)
        if order.places[pixel] == NEVER:
            edge = OUTER
        end = (2 * int(i) + squares - shift, 2 * int(j) + squares - shift)
        found[image].append((edge, end) if dimension else (end, edge))
    return found


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 2, 1])
@pytest.mark.parametrize("few", [0, 300])
def test_barcodes_of_images_and_of_their_inclusions(
    construction: str, levels: int, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All features that do not die with the pixel of their birth are found, cube by cube."""
    monkeypatch.setattr(elder_rule, "_FEW", few)
    images, others = batch_of(0, 4, levels), batch_of(50, 4, levels)
    both = [images, np.minimum(images, others)]
    slow = [[Slow(one, construction) for one in some] for some in both]
    order = filtration(np.concatenate(both), construction)
    for dimension, forest in enumerate(order.forests):
        bars = bars_of(order, forest, dimension)
        for found, one in zip(bars, slow[0] + slow[1], strict=True):
            pairs = slow_barcode(one, one)[dimension]
            assert len(set(found)) == len(found)
            assert set(found) == {(a, b) for a, b in pairs if one.pixel[a] != one.pixel[b]}
        parts = [(4, 8), (0, 4)][:: -1 if dimension else 1]
        joined = forest.images(*parts[0])
        died = joined.deaths(forest.cubes.images(*parts[1]).age)
        into = bars_of(order, Forest(joined.cubes, joined.edges, joined.pairs, died), dimension)
        for found, first, second in zip(into, *slow, strict=True):
            pairs = slow_barcode(first, second)[dimension]
            ends = {pair[1 - dimension] for pair in bars[parts[0][0] + slow[0].index(first)]}
            assert set(found) == {pair for pair in pairs if pair[1 - dimension] in ends}


def slow_matching(
    images: tuple[np.ndarray, np.ndarray], construction: str
) -> list[tuple[list[list[int]], ...]]:
    """For each dimension the pixels of matched features, and of those left over in both images.

    Through image intervals of any length, between intervals of positive length.
    """
    slow = [Slow(one, construction) for one in (*images, np.minimum(*images))]
    bars = [slow_barcode(one, one) for one in slow]
    result = []
    for dimension in (0, 1):
        kept = [
            {a: b for a, b in bar[dimension] if one.value[b] > one.value[a]}
            for one, bar in zip(slow, bars, strict=True)
        ]
        partner: list[dict[Cube, Cube]] = []
        for which in (0, 1):
            into = slow_barcode(slow[which], slow[2])[dimension]
            ends = set(kept[2].values())
            partner.append({d: b for b, d in into if b in kept[which] and d in ends})
        both = partner[0].keys() & partner[1].keys()
        matched = []
        for death in both:
            pairs = [(partner[k][death], kept[k].pop(partner[k][death])) for k in (0, 1)]
            matched.append([slow[k].pixel[cube] for k in (0, 1) for cube in pairs[k]])
        alone = [
            sorted([slow[k].pixel[a], slow[k].pixel[b]] for a, b in kept[k].items()) for k in (0, 1)
        ]
        result.append((sorted(matched), *alone))
    return result


def check_matching(first: np.ndarray, second: np.ndarray, construction: str) -> None:
    """Pixel by pixel, of every image of a batch."""
    found, size = match(first, second, construction), first[0].size
    for index, pair in enumerate(zip(first, second, strict=True)):
        for mine, expected in zip(found, slow_matching(pair, construction), strict=True):
            for pixels, slow in zip(mine, expected, strict=True):
                own = pixels[pixels[:, 0] // size == index]
                assert sorted(np.where(own == NEVER, NEVER, own % size).tolist()) == slow


@CONSTRUCTIONS
@pytest.mark.parametrize("levels", [0, 1, 2])
def test_matching_by_its_definition(construction: str, levels: int) -> None:
    check_matching(batch_of(0, 5, levels), batch_of(50, 5, levels), construction)


@st.composite
def pairs_of_images(draw: st.DrawFn) -> list[np.ndarray]:
    """Two of one shape, with few values, so that many are equal."""
    height, width = draw(st.integers(2, 4)), draw(st.integers(2, 5))
    count, value = height * width, st.sampled_from([0.0, -0.0, 0.1, 0.5, 1.0])
    values = st.lists(value, min_size=count, max_size=count)
    return [np.array(draw(values)).reshape(1, height, width) for _ in "ab"]


@CONSTRUCTIONS
@given(pair=pairs_of_images(), few=st.sampled_from([0, 300]))
@settings(max_examples=60, deadline=None)
def test_matching_of_images_with_equal_values(
    construction: str, pair: list[np.ndarray], few: int
) -> None:
    with mock.patch.object(elder_rule, "_FEW", few):
        check_matching(*pair, construction)


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
        for bar, slow in zip(map(order.bars, (0, 1)), expected, strict=True):
            found = bar.length[bar.birth // image.size == index]
            positive = sorted(found[(found > 0) & np.isfinite(found)])
            assert len(positive) > 5
            np.testing.assert_allclose(positive, slow)


def test_a_ring_by_hand() -> None:
    ring = np.zeros((5, 5))
    ring[1:4, 1:4] = 1
    ring[2, 2] = 0
    image = filtration(-ring[None], "V")
    assert max(image.bars(0).length) == np.inf
    assert sorted(image.bars(0).length)[:-1] == [0.0] * (len(image.bars(0).length) - 1)
    assert [length for length in image.bars(1).length if length] == [1.0]
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
