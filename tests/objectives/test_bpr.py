"""BPR against its definition, and in all precisions."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.bpr import Bpr, bpr


def scores(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first, second = 3 * torch.randn(2, *shape, dtype=torch.float64, generator=generator)
    return first, second


@pytest.mark.parametrize("shape", [(9,), (9, 1)])
def test_against_the_definition(shape: tuple[int, ...]) -> None:
    first, second = scores(*shape)
    each = Bpr("none")(first, second)
    assert each.shape == shape
    expected = [
        -math.log(1 / (1 + math.exp(-(a - b))))
        for a, b in zip(first.flatten().tolist(), second.flatten().tolist(), strict=True)
    ]
    wanted = torch.tensor(expected, dtype=torch.float64).reshape(shape)
    torch.testing.assert_close(each, wanted, atol=1e-12, rtol=1e-10)
    torch.testing.assert_close(Bpr()(first, second), each.mean())
    torch.testing.assert_close(Bpr("sum")(first, second), each.sum())
    single = bpr(first.float(), second.float(), "none")
    torch.testing.assert_close(single.double(), wanted, rtol=1e-5, atol=1e-6)


def test_gradcheck() -> None:
    first, second = (x.requires_grad_() for x in scores(5))
    assert torch.autograd.gradcheck(bpr, (first, second))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_extreme_scores_stay_finite(dtype: torch.dtype) -> None:
    first = torch.tensor([-2e4, 2e4, 0.0], dtype=dtype, requires_grad=True)
    loss = bpr(first, -first.detach(), "none")
    assert loss.dtype == torch.float32
    assert loss[0].item() == pytest.approx(4e4, rel=1e-2)
    assert loss[1].item() == 0.0
    loss.sum().backward()
    assert first.grad.tolist() == [-1.0, 0.0, -0.5]


def test_refusals() -> None:
    first, second = scores(4)
    with pytest.raises(ValueError, match="mean, sum or none"):
        Bpr("average")
    for other in (second[:3], second[:, None]):
        with pytest.raises(ValueError, match=r"of shape \(N,\) or \(N, 1\) are needed"):
            bpr(first, other)
    with pytest.raises(ValueError, match=r"of shape \(N,\) or \(N, 1\) are needed"):
        bpr(*scores(4, 2))
