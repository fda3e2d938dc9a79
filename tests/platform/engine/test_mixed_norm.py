"""Batch normalisation with half-precision parameters and float32 statistics."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from trainwright.engine.mixed_norm import accept_half_precision

LAYERS: list[Any] = [
    (lambda: nn.BatchNorm1d(3), (8, 3)),
    (lambda: nn.BatchNorm2d(3, momentum=None), (8, 3, 4, 4)),
    (lambda: nn.BatchNorm3d(3, affine=False), (8, 3, 2, 2, 2)),
    (lambda: nn.BatchNorm2d(3, track_running_stats=False), (8, 3, 4, 4)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_in_float32_nothing_changes(make: Any, shape: tuple[int, ...]) -> None:
    plain = make()
    patched = copy.deepcopy(plain)
    accept_half_precision(patched)
    for seed in range(3):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
        assert torch.equal(plain(x), patched(x))
    for (name, a), (_, b) in zip(plain.named_buffers(), patched.named_buffers(), strict=True):
        assert torch.equal(a, b), name
    plain.eval()
    patched.eval()
    assert torch.equal(plain(x), patched(x))


def test_bf16_parameters_meet_float32_statistics() -> None:
    exact = nn.BatchNorm2d(3)
    half = copy.deepcopy(exact)
    with torch.no_grad():
        for parameter in half.parameters():
            parameter.data = parameter.data.bfloat16()
    accept_half_precision(half)
    x = torch.randn(16, 3, 4, 4).bfloat16()
    y = half(x)
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    assert torch.allclose(y.float(), exact(x.float()), atol=0.05)
    assert half.running_mean.dtype == torch.float32
    assert torch.allclose(half.running_mean, exact.running_mean, atol=1e-3)
    assert half.weight.grad.dtype == torch.bfloat16


def test_layers_with_their_own_forward_are_left_alone() -> None:
    class Own(nn.BatchNorm2d):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return input

    layer = Own(3)
    accept_half_precision(layer)
    assert "forward" not in vars(layer)
