"""StableMax against its definition in plain Python, worked numbers and its trap at zero."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from trainwright.objective import Term, WeightedSum
from trainwright_objectives.stablemax_cross_entropy import (
    StableMaxCrossEntropy,
    log_stable,
    stablemax_cross_entropy,
)


def by_hand(row: list[float], target: int) -> float:
    """The definition, with Python floats."""
    s = [x + 1 if x >= 0 else 1 / (1 - x) for x in row]
    return -math.log(s[target] / sum(s))


def random_scores(scale: float = 50.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = scale * (2 * torch.rand(40, 7, dtype=torch.float64, generator=generator) - 1)
    return scores, torch.randint(7, (40,), generator=generator)


def test_worked_values() -> None:
    scores = torch.tensor([[2.0, -1.0, 0.0]], dtype=torch.float64)
    probabilities = functional.softmax(log_stable(scores), dim=1)
    assert probabilities[0].tolist() == pytest.approx([0.666667, 0.111111, 0.222222], abs=1e-6)
    assert stablemax_cross_entropy(scores, torch.tensor([0])).item() == pytest.approx(
        0.405465, abs=1e-6
    )


def test_worked_gradient() -> None:
    scores = torch.tensor([[3.0, 1.0, 0.2]], dtype=torch.float64, requires_grad=True)
    stablemax_cross_entropy(scores, torch.tensor([1])).backward()
    expected = [0.1388888889, -0.3611111111, 0.1388888889]
    assert scores.grad[0].tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_against_the_definition(dtype: torch.dtype, rtol: float) -> None:
    scores, target = random_scores()
    scores = scores.to(dtype)
    found = stablemax_cross_entropy(scores, target, reduction="none")
    expected = [by_hand(row, y) for row, y in zip(scores.tolist(), target.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=rtol)
    assert found.dtype == dtype


def test_the_gradient_is_the_formula() -> None:
    scores, target = random_scores()
    scores.requires_grad_()
    stablemax_cross_entropy(scores, target, reduction="sum").backward()
    s = torch.where(scores >= 0, scores + 1, 1 / (1 - scores.clamp(max=0)))
    share = s / s.sum(dim=1, keepdim=True) - functional.one_hot(target, 7)
    torch.testing.assert_close(scores.grad, share / (1 + scores.abs()), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("at", [0.0, -0.0, 1e-9, -1e-9])
def test_value_and_slope_are_continuous_at_zero(at: float) -> None:
    x = torch.tensor([at], dtype=torch.float64, requires_grad=True)
    h = log_stable(x)
    assert h.exp().item() == pytest.approx(1.0, abs=1e-8)
    (slope,) = torch.autograd.grad(h, x)
    assert slope.item() == pytest.approx(1.0, abs=1e-8)


def test_gradcheck() -> None:
    scores, target = random_scores(3.0)
    weight = torch.linspace(0.1, 2.0, 7, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda z: stablemax_cross_entropy(z, target[:5], weight), scores[:5].requires_grad_()
    )


def test_it_does_not_collapse_where_softmax_does() -> None:
    first = torch.tensor([0])

    def row(x: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        return torch.tensor([[x, 0.0, 0.0]], dtype=dtype)

    assert functional.cross_entropy(row(16), first).item() == pytest.approx(2.38e-7, rel=2e-3)
    assert functional.cross_entropy(row(17), first).item() == 0.0
    wide = functional.cross_entropy(row(20, torch.float64), first).item()
    assert wide == pytest.approx(4.1223e-9, rel=1e-4)
    for dtype in ("float32", "float64"):
        loss = StableMaxCrossEntropy(dtype=dtype)
        assert loss(row(20), first).item() == pytest.approx(0.090972, abs=1e-6)
        assert loss(row(1e6), first).item() == pytest.approx(2.0e-6, rel=0.05)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float64(dtype: torch.dtype) -> None:
    scores, target = random_scores()
    half = scores.to(dtype).requires_grad_()
    loss = StableMaxCrossEntropy()(half, target)
    assert loss.dtype == torch.float64
    assert loss.item() == stablemax_cross_entropy(half.double(), target).item()
    loss.backward()
    assert half.grad.isfinite().all()


def test_extreme_scores_stay_finite() -> None:
    scores = torch.tensor([[3e38, -3e38], [0.0, 0.0]], requires_grad=True)
    loss = StableMaxCrossEntropy(dtype="float32")(scores, torch.tensor([1, 0]))
    loss.backward()
    assert loss.isfinite()
    assert scores.grad.isfinite().all()


def test_it_is_not_invariant_to_a_shift() -> None:
    scores, target = random_scores(3.0)
    here, there = (stablemax_cross_entropy(scores + shift, target) for shift in (0.0, 2.0))
    assert abs(here - there) > 0.01


def test_tokens_weights_and_ignored_targets() -> None:
    scores, target = random_scores(3.0)
    weight = torch.arange(1.0, 8.0)
    target[::3] = -100
    loss = StableMaxCrossEntropy(weight=weight.tolist())
    kept = [
        (float(weight[y]), by_hand(row, y))
        for row, y in zip(scores.tolist(), target.tolist(), strict=True)
        if y >= 0
    ]
    expected = sum(w * value for w, value in kept) / sum(w for w, _ in kept)
    assert loss(scores, target).item() == pytest.approx(expected, rel=1e-12)
    assert loss(scores.view(8, 5, 7), target.view(8, 5)).item() == pytest.approx(expected)
    assert loss.count(target).item() == sum(w for w, _ in kept)
    assert StableMaxCrossEntropy().count(target).item() == len(kept)
    each = StableMaxCrossEntropy(reduction="none")(scores.view(8, 5, 7), target.view(8, 5))
    assert each.shape == (8, 5)
    assert (each.flatten()[::3] == 0).all()


def test_the_platform_takes_its_count_as_denominator() -> None:
    _, target = random_scores(3.0)
    target[:3] = 4
    terms = WeightedSum([Term(StableMaxCrossEntropy(ignore_index=4), "loss")])
    assert terms.needs_counts
    assert terms.count({"target": target}).item() == int((target != 4).sum())


@pytest.mark.parametrize(
    ("scores", "target", "message"),
    [
        (torch.zeros(2, 1), torch.zeros(2).long(), "K at least 2"),
        (torch.zeros(2, 3).long(), torch.zeros(2).long(), "must be floating-point"),
        (torch.zeros(2, 3), torch.tensor([0, 3]), r"targets lie in \[0, 3\]"),
        (torch.zeros(2, 3), torch.tensor([-1, 0]), r"targets lie in \[-1, 0\]"),
        (torch.zeros(2, 3), torch.zeros(3).long(), "must have shape"),
        (torch.zeros(2, 5, 3), torch.zeros(5, 2).long(), r"must have shape \(2, 5\)"),
        (torch.zeros(2, 3), torch.zeros(2), "class indices of an integer type"),
    ],
)
def test_wrong_inputs(scores: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StableMaxCrossEntropy()(scores, target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "dtype must be float64 or float32"),
        ({"reduction": "max"}, "reduction must be"),
        ({"weight": [1.0, -1.0]}, "weight must hold numbers of at least 0"),
        ({"weight": [1.0, math.nan]}, "weight must hold numbers of at least 0"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StableMaxCrossEntropy(**options)
