"""Colour jitter, cutout, pixel dropout and following tokens, against the obvious computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainwright.data import Table
from trainwright.data.sources import synthetic_images
from trainwright.data.table import IGNORED
from trainwright.data.transforms import (
    ColorJitter,
    Cutout,
    NextToken,
    PixelDropout,
    TransformChain,
)
from trainwright.data.transforms.color_jitter import jitter
from trainwright.errors import DataError

COLOUR = synthetic_images(300, image_size=8, channels=3)


def apply(transform, table: Table = COLOUR, training: bool = True) -> dict[str, torch.Tensor]:
    chain = TransformChain([("t", transform)], 0)
    chain.fit(table)
    return chain(table.take(torch.arange(len(table))), 0, training)


def slow_jitter(image: np.ndarray, b: float, c: float, s: float) -> np.ndarray:
    image = image * b
    image = image.mean() + c * (image - image.mean())
    if len(image) == 3:
        grey = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
        image = np.stack([grey + s * (channel - grey) for channel in image])
    return image


@pytest.mark.parametrize("channels", [1, 3])
def test_jitter_by_hand(channels: int) -> None:
    images = torch.rand(6, channels, 4, 5)
    factors = torch.rand(6, 3) * 2
    result = jitter(images, factors)
    for image, factor, got in zip(images, factors, result, strict=True):
        expected = slow_jitter(image.double().numpy(), *factor.double().tolist())
        np.testing.assert_allclose(got.numpy(), expected, atol=1e-5)
    assert torch.equal(jitter(images, torch.ones(6, 3)), images)


def test_factors_fill_their_range_and_change_every_sample_differently() -> None:
    images = COLOUR.take(torch.arange(300))["image"]
    bright = apply(ColorJitter(brightness=0.3, contrast=0.0))["image"]
    factors = (bright / images).flatten(1).median(dim=1).values
    torch.testing.assert_close(bright, images * factors[:, None, None, None])
    assert 0.7 <= factors.min() < 0.72
    assert 1.28 < factors.max() <= 1.3001
    half = apply(ColorJitter(p=0.5))["image"]
    same = (half == images).flatten(1).all(dim=1).float().mean()
    assert 0.4 < same < 0.6


def test_cutout_by_hand() -> None:
    table = Table.from_arrays({"image": torch.ones(2000, 2, 6, 5)}, {"image": "image"})
    images = apply(Cutout(size=3, value=7.0), table)["image"]
    holes = images == 7
    assert torch.equal(holes[:, 0], holes[:, 1])
    seen = set()
    for hole in holes[:, 0]:
        rows, columns = hole.any(dim=1).nonzero().flatten(), hole.any(dim=0).nonzero().flatten()
        assert hole.sum() == len(rows) * len(columns)
        assert torch.equal(rows, torch.arange(rows[0], rows[-1] + 1))
        seen.add((int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])))
    expected = {
        (max(y - 1, 0), min(y + 1, 5), max(x - 1, 0), min(x + 1, 4))
        for y in range(6)
        for x in range(5)
    }
    assert seen == expected


def test_pixel_dropout_takes_whole_pixels_and_single_elements() -> None:
    images = apply(PixelDropout(p=0.25))["image"]
    gone = images == 0
    assert torch.equal(gone[:, 0], gone[:, 2])
    assert gone.float().mean().item() == pytest.approx(0.25, abs=0.02)
    kept = COLOUR.take(torch.arange(300))["image"]
    assert torch.equal(images[~gone], kept[~gone])
    vectors = Table.from_arrays({"x": torch.ones(500, 40)}, {"x": "vector"})
    assert apply(PixelDropout(p=0.1), vectors)["x"].mean().item() == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("make", [ColorJitter, Cutout, PixelDropout])
def test_evaluation_is_left_alone_and_batches_do_not_matter(make) -> None:
    plain = COLOUR.take(torch.arange(300))["image"]
    assert torch.equal(apply(make(), training=False)["image"], plain)
    together = apply(make())["image"]
    part = COLOUR.subset(torch.tensor([7, 250, 3]))
    assert torch.equal(apply(make(), part)["image"], together[[7, 250, 3]])
    assert not torch.equal(together, plain)


TOKENS = {
    "tokens": torch.tensor([[5, 6, 7, 0], [3, 2, 0, 0]]),
    "tokens_mask": torch.tensor([[1, 1, 1, 0], [1, 1, 0, 0]]).bool(),
}


def test_next_token_leaves_padding_out() -> None:
    table = Table.from_arrays(TOKENS, {"tokens": "tokens", "tokens_mask": "mask"})
    chain = TransformChain([("next", NextToken())])
    chain.fit(table)
    batch = chain(table.take(torch.arange(2)), 0, training=False)
    assert batch["tokens"].tolist() == [[5, 6, 7], [3, 2, 0]]
    assert batch["target"].tolist() == [[6, 7, IGNORED], [2, IGNORED, IGNORED]]
    assert batch["tokens_mask"].tolist() == [[True, True, True], [True, True, False]]
    target = chain.columns["target"]
    assert (target.kind, target.shape, target.num_classes) == ("tokens", (3,), 8)


def test_next_token_without_a_mask_and_refusals() -> None:
    words = Table.from_arrays({"words": TOKENS["tokens"]}, {"words": "tokens"})
    batch = apply(NextToken("words", target="following"), words)
    assert batch["following"].tolist() == [[6, 7, 0], [2, 0, 0]]
    with pytest.raises(DataError, match="there is a column 'words' already"):
        apply(NextToken("words", target="words"), words)
    with pytest.raises(DataError, match="nearest: words"):
        apply(NextToken("word"), words)
    short = Table.from_arrays({"tokens": TOKENS["tokens"][:, :1]}, {"tokens": "tokens"})
    with pytest.raises(DataError, match="nothing follows"):
        apply(NextToken(), short)
