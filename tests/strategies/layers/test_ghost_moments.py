"""Ghost batches in few passes: exactness, and ``torch.func``."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from trainwright_strategies.ghost_batch_norm import ghost_batch_norm
from trainwright_strategies.layers import ghost_moments, ghost_norm
from trainwright_strategies.layers.ghost_norm import GhostNorm


def buffers(model: GhostNorm) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.named_buffers()}


def test_few_passes_are_as_exact_as_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """In float32, with a mean of a hundred deviations, against float64."""
    x = 100 + torch.randn(16, 3, 16, 16)
    fresh = ghost_batch_norm(nn.BatchNorm2d(3), 4)
    monkeypatch.setattr(ghost_norm, "VECTORISE_BELOW", 0)
    expected = copy.deepcopy(fresh).double()(x.double())
    worst = []
    for least in (1, 1 << 60):
        monkeypatch.setattr(ghost_moments, "MIN_VALUES", least)
        worst.append((copy.deepcopy(fresh)(x).double() - expected).abs().max())
    assert worst[0] <= 2 * worst[1]


@pytest.mark.parametrize("least", [1, 1 << 60])
def test_function_transforms(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """``torch.func`` differentiates forwards and backwards, and for many clients at once."""
    monkeypatch.setattr(ghost_moments, "MIN_VALUES", least)
    monkeypatch.setattr(ghost_norm, "VECTORISE_BELOW", 0)
    ghost = ghost_batch_norm(nn.BatchNorm1d(2), 3).double()
    x, direction = torch.randn(2, 6, 2, dtype=torch.float64)

    def loss(x: torch.Tensor, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
        own = {name: value.clone() for name, value in tensors.items()}
        return torch.func.functional_call(ghost, own, (x,)).pow(3).sum()

    gradient = torch.func.grad(loss)(x, buffers(ghost))
    _, forwards = torch.func.jvp(lambda x: loss(x, buffers(ghost)), (x,), (direction,))
    torch.testing.assert_close(forwards, (gradient * direction).sum())

    stacked = {name: torch.stack([value, value]) for name, value in buffers(ghost).items()}
    together = torch.vmap(torch.func.grad(loss))(torch.stack([x, 2 * direction]), stacked)
    torch.testing.assert_close(together[0], gradient)
    alone = torch.func.grad(loss)(2 * direction, buffers(ghost))
    torch.testing.assert_close(together[1], alone)
