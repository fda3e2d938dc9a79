"""The U-net: sizes, a count of weights by hand, and what it can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainwright.data.sources import synthetic_shapes
from trainwright.models import UNet


@pytest.mark.parametrize("size", [(8, 8), (4, 12), (16, 8)])
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_outputs_have_the_input_s_size(size: tuple[int, int], norm: str) -> None:
    model = UNet(3, 5, width=8, depth=2, norm=norm)
    outputs = model(torch.rand(2, 3, *size))
    assert outputs["logits"].shape == (2, 5, *size)
    assert outputs["embedding"].shape == (2, 32)
    outputs["logits"].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_number_of_weights(depth: int) -> None:
    def pair(a: int, b: int) -> int:
        return 9 * a * b + 9 * b * b + 4 * b  # two convolutions without bias, two norms

    w = 8
    expected = pair(2, w) + (w * 3 + 3)
    for level in range(depth):
        small, large = w * 2**level, w * 2 ** (level + 1)
        expected += pair(small, large) + (4 * large * small + small) + pair(2 * small, small)
    model = UNet(2, 3, width=w, depth=depth)
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize("size", [(6, 8), (8, 10), (7, 7)])
def test_sizes_that_cannot_be_halved_are_refused_clearly(size: tuple[int, int]) -> None:
    message = rf"images of {size[0]} x {size[1]} pixels cannot be halved 2 times.*multiples of 4"
    with pytest.raises(ValueError, match=message):
        UNet(1, 2, image_size=size)
    with pytest.raises(ValueError, match=message):
        UNet(1, 2)(torch.rand(1, 1, *size))
    UNet(1, 2, image_size=8)


def test_a_pixel_sees_far_and_shortcuts_see_near() -> None:
    model = UNet(1, 1, depth=2).eval()
    x = torch.rand(1, 1, 32, 32, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(x)["logits"][0, 0, 16, 16], x)
    seen = gradient[0, 0].abs() > 0
    assert seen[16, 16 - 2 : 16 + 3].all()
    assert seen.sum() > 15 * 15


def test_group_norm_leaves_samples_alone() -> None:
    model = UNet(1, 2, norm="group")
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model(x)["logits"][:1], model(x[:1])["logits"])


def test_learns_to_tell_disks_from_squares() -> None:
    torch.manual_seed(0)
    table = synthetic_shapes(num_samples=240)
    train, test = table.take(torch.arange(200)), table.take(torch.arange(200, 240))
    model = UNet(1, 3, width=8, depth=2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for epoch in range(8):
        for rows in torch.randperm(200, generator=torch.Generator().manual_seed(epoch)).split(20):
            optimizer.zero_grad()
            logits = model(train["image"][rows])["logits"]
            functional.cross_entropy(logits, train["target"][rows]).backward()
            optimizer.step()
    right = model(test["image"])["logits"].argmax(1) == test["target"]
    shape = test["target"] > 0
    assert right[shape].float().mean() > 0.65  # a guess by brightness alone gets half of them
    assert right[~shape].float().mean() > 0.95
