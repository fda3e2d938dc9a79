"""Clipping by the local engine, which is torch's in fewer steps."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright.engine import local


def parameters_with(scale: float) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in ((7, 5), (3,), (), (0, 4)):
        parameter = nn.Parameter(torch.zeros(shape))
        parameter.grad = scale * torch.randn(shape, generator=generator)
        made.append(parameter)
    return made


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6, float("inf"), float("nan"), 0.0])
def test_it_is_torch_s_bit_for_bit(scale: float) -> None:
    ours, theirs = parameters_with(scale), parameters_with(scale)
    norm = local._clip([p.grad for p in ours if p.grad is not None], 2.0)
    expected = nn.utils.clip_grad_norm_(theirs, 2.0)
    torch.testing.assert_close(norm, expected, rtol=0, atol=0, equal_nan=True)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=0, atol=0, equal_nan=True)


def test_a_gradient_at_the_limit_is_scaled_as_torch_does() -> None:
    """The small number that torch adds to the norm counts there."""
    ours, theirs = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    ours.grad, theirs.grad = torch.full((1,), 2.0), torch.full((1,), 2.0)
    local._clip([ours.grad], 2.0)
    nn.utils.clip_grad_norm_([theirs], 2.0)
    assert float(ours.grad) < 2.0
    assert ours.grad.equal(theirs.grad)
