"""What is left of images: orders, counts and links."""

from __future__ import annotations

import numpy as np
import pytest

from trainwright_objectives.critical_edges import (
    critical_edges,
    framed,
    levels_of,
    lower_links,
    pixels,
    squares,
)
from trainwright_objectives.lower_links import CIRCLE, CRITICAL, JOINS


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_levels_are_in_the_order_of_values(dtype: type) -> None:
    values = np.array([-np.inf, -3.0, -1e-30, -0.0, 0.0, 1e-30, 1 / 3, 0.5, np.inf]).astype(dtype)
    values = np.append(values, np.nextafter(dtype(0.5), dtype(1)))
    levels = levels_of(values[None])[0]
    for shift in range(len(values)):
        other = np.roll(values, shift)
        assert (
            np.sign(levels - np.roll(levels, shift).astype(float))
            == np.sign((values > other).astype(int) - (values < other))
        ).all()


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_minima_and_maxima_less_critical_edges_are_one(levels: int) -> None:
    random = np.random.default_rng(levels)
    for shape in ((2, 2), (3, 7), (12, 11)):
        image = random.random((1, *shape))
        image = np.round(image * levels) / levels if levels else image
        plane = framed(levels_of(image), "V")
        links = lower_links(plane)
        inside = np.s_[0, 1:-1, 1:-1]
        lowest = pixels(plane, links).step.reshape(plane.shape)[inside] == 0
        highest = squares(plane, links).step.reshape(plane.shape)[0, 1:-2, 1:-2] == 0
        count = len(critical_edges(links).pixel)
        assert lowest.sum() - count + highest.sum() == 1


def test_links_of_a_pixel_by_hand() -> None:
    """Up, right, down and the corner between the last two; up is an arc of its own, critical."""
    image = np.array([[9.0, 1.0, 9.0], [9.0, 5.0, 2.0], [9.0, 3.0, 4.0]])
    links = lower_links(framed(levels_of(image[None]), "V")).reshape(5, 5)
    link = links[2, 2]
    there = {place for number, place in enumerate(CIRCLE) if link >> number & 1}
    assert there == {(-1, 0), (0, 1), (1, 0), (1, 1)}
    assert JOINS[link] == 1 + 3
    assert CRITICAL[link] == 1 << 0
    assert not links[[0, -1]].any()
