"""Learning by sorting at the limits: number formats, steepness, tiny batches, wrong options."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_objectives.groco import GroCo, group_order_losses


def views(size: int = 12, dim: int = 6) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(size, dim, dtype=torch.float64, generator=generator)
    noise = torch.randn(2, size, dim, dtype=torch.float64, generator=generator)
    return [shared + part for part in noise]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    query, document = (v.to(dtype).requires_grad_() for v in views(32, 16))
    exact = [v.detach().double().requires_grad_() for v in (query, document)]
    loss, expected = GroCo()(query, document)["loss"], GroCo()(*exact)["loss"]
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(query.grad.double(), exact[0].grad, rtol=2e-2, atol=1e-5)


@pytest.mark.parametrize("steepness", [1e-8, 1e8, 1e30])
def test_extreme_steepness_stays_finite(steepness: float) -> None:
    query, document = (v.float().requires_grad_() for v in views())
    loss = GroCo(steepness=steepness)(query, document)["loss"]
    loss.backward()
    assert loss.isfinite()
    assert query.grad.isfinite().all()


def test_degenerate_batches() -> None:
    same = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    loss = GroCo(num_negatives=3)(same, same)["loss"]
    ones = torch.ones(1, 4).double()
    expected = group_order_losses(ones[:, :1], ones[:, 1:], 1.0)
    assert loss.item() == pytest.approx(expected.item())
    loss.backward()
    zeros = torch.zeros(4, 3, requires_grad=True)
    GroCo()(zeros, zeros)["loss"].backward()
    assert same.grad.isfinite().all()
    assert zeros.grad.isfinite().all()


def test_one_image_is_refused_in_training_and_costs_nothing_in_evaluation() -> None:
    query, document = (v[:1] for v in views())
    with pytest.raises(ValueError, match="one image has no negatives in its batch"):
        GroCo()(query, document)
    found = GroCo().eval()(query, document)
    assert found["loss"].item() == pytest.approx(0.0, abs=1e-12)
    assert found["hardest_negative"].item() == -1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_negatives": 0}, "num_negatives must be at least 1, got 0"),
        ({"steepness": 0.0}, "steepness must be a number above 0"),
        ({"steepness": math.nan}, "steepness must be a number above 0"),
        ({"num_positive_views": 1}, "num_positive_views must be None or at least 2, got 1"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GroCo(**options)


def test_ill_views() -> None:
    query, document = views()
    with pytest.raises(ValueError, match=r"one shape \(B, D\), got \(12, 6\) and \(11, 6\)"):
        GroCo()(query, document[:11])
    with pytest.raises(ValueError, match=r"shape \(12, V - 2, 6\), got \(12, 5, 1\)"):
        GroCo()(query, document, query[:, :5, None])
    with pytest.raises(ValueError, match="num_positive_views is 3, but there are 2 views"):
        GroCo(num_positive_views=3)(query, document)
