"""Views of images against turns, sums and means done by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_strategies.layers.views import blurred, flattened, rotated, views_of


def images() -> torch.Tensor:
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0)).double()


def test_quarter_turns_are_exact() -> None:
    for quarters in range(4):
        expected = torch.rot90(images(), quarters, (2, 3))
        torch.testing.assert_close(rotated(images(), 90.0 * quarters), expected)


def test_a_turn_of_a_wide_image_is_a_turn() -> None:
    """A point at (2, 0) from the centre goes to 2 * (cos, sin), whatever the shape."""
    image = torch.zeros(1, 1, 9, 21, dtype=torch.float64)
    image[0, 0, 4, 12] = 1.0
    turned = rotated(image, 90.0)[0, 0]
    assert divmod(int(turned.argmax()), 21) == (2, 10)
    rows, columns = torch.meshgrid(torch.arange(9.0) - 4, torch.arange(21.0) - 10, indexing="ij")
    turned = rotated(image, 30.0)[0, 0]
    place = [float((turned * axis).sum() / turned.sum()) for axis in (columns, -rows)]
    assert place == pytest.approx([2 * math.cos(math.pi / 6), 2 * math.sin(math.pi / 6)], abs=0.15)


def test_blur_against_the_sum_over_neighbours() -> None:
    sigma, image = 0.6, images()
    found = blurred(image, sigma)
    kernel = {d: math.exp(-(d**2) / (2 * sigma**2)) for d in range(-2, 3)}
    total = sum(kernel.values()) ** 2

    def at(i: int, j: int) -> torch.Tensor:
        return image[:, :, min(max(i, 0), 5), min(max(j, 0), 5)]

    for i, j in ((0, 0), (2, 3), (5, 1)):
        terms = [kernel[a] * kernel[b] * at(i + a, j + b) for a in kernel for b in kernel]
        torch.testing.assert_close(found[:, :, i, j], sum(terms) / total)


def test_contrast() -> None:
    torch.testing.assert_close(flattened(images(), 0.6), 0.6 * images() + 0.2)


def test_one_view_for_each_number() -> None:
    views = views_of([15.0, -15.0], [0.6], [0.5])
    found = [view(images()) for view in views]
    expected = [rotated(images(), 15.0), rotated(images(), -15.0), blurred(images(), 0.6)]
    for one, other in zip(found, [*expected, flattened(images(), 0.5)], strict=True):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match="blurs must be above 0"):
        views_of([], [0.0], [])
    with pytest.raises(ValueError, match="contrasts must be above 0"):
        views_of([], [], [-1.0])
