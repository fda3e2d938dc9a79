"""The smooth adversarial comp-sum loss: worked numbers, its bound, and a slow implementation."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.comp_sum import comp_sum
from trainwright_objectives.smooth_adv_comp_sum import (
    SmoothAdvCompSum,
    margin_shift,
    smooth_adv_comp_sum,
)

CLEAN = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
ADV = torch.tensor([[1.5, 1.2, 0.1, -1.0]], dtype=torch.float64)
FIRST = torch.tensor([0])


def random_pair(num: int = 16, classes: int = 5) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(num, classes, dtype=torch.float64, generator=generator)
    adv = clean + 0.5 * torch.randn(num, classes, dtype=torch.float64, generator=generator)
    return clean, adv, torch.randint(classes, (num,), generator=generator)


def margins(values: list[float], target: int) -> list[float]:
    return [values[target] - v for index, v in enumerate(values) if index != target]


def shift_by_hand(clean: list[float], adv: list[float], target: int) -> float:
    pairs = zip(margins(clean, target), margins(adv, target), strict=True)
    return math.sqrt(sum((b - a) ** 2 for a, b in pairs))


def test_worked_numbers() -> None:
    assert margin_shift(CLEAN, ADV, FIRST).item() == pytest.approx(1.048809, abs=1e-6)
    changes = [
        b - a for a, b in zip(margins([2, 1, 0, -1], 0), margins(ADV[0].tolist(), 0), strict=True)
    ]
    assert changes == pytest.approx([-0.7, -0.6, -0.5])
    assert smooth_adv_comp_sum(CLEAN, FIRST, ADV).item() == pytest.approx(1.488999, abs=1e-6)


@pytest.mark.parametrize(("tau", "temperature", "nu"), [(1.0, 1.0, 1.0), (0.5, 2.0, 0.3)])
def test_against_a_slow_implementation(tau: float, temperature: float, nu: float) -> None:
    clean, adv, target = random_pair()
    rows = zip(clean.tolist(), adv.tolist(), target.tolist(), strict=True)
    shifts = torch.tensor([shift_by_hand(*row) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(margin_shift(clean, adv, target), shifts, rtol=1e-10, atol=0)
    expected = comp_sum(clean, target, tau, temperature, "none") + nu * shifts
    each = smooth_adv_comp_sum(clean, target, adv, tau, temperature, nu, "none")
    torch.testing.assert_close(each, expected, rtol=1e-10, atol=0)
    assert smooth_adv_comp_sum(clean, target, adv, tau, temperature, nu) == each.mean()
    single = smooth_adv_comp_sum(clean.float(), target, adv.float(), tau, temperature, nu, "none")
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=0)


def test_gradient_flows_through_both_outputs() -> None:
    clean, adv, target = random_pair()
    clean.requires_grad_()
    adv.requires_grad_()
    torch.autograd.gradcheck(
        lambda c, a: smooth_adv_comp_sum(c, target, a, 1.5, 0.7, 0.4, "none"), (clean, adv)
    )
    first, second = torch.autograd.grad(margin_shift(clean, adv, target).sum(), (clean, adv))
    torch.testing.assert_close(first, -second)
    assert second.abs().sum() > 1


def test_a_shift_of_the_logits_changes_nothing() -> None:
    clean, adv, target = random_pair()
    moved = smooth_adv_comp_sum(clean - 7, target, adv + 3, 0.5)
    torch.testing.assert_close(moved, smooth_adv_comp_sum(clean, target, adv, 0.5))


def test_without_perturbation_it_is_the_comp_sum_loss_with_a_finite_gradient() -> None:
    clean, _, target = random_pair()
    assert smooth_adv_comp_sum(clean, target, tau=0.5) == comp_sum(clean, target, 0.5)
    same = clean.clone().requires_grad_()
    loss = smooth_adv_comp_sum(same, target, same, tau=0.5)
    assert loss == comp_sum(clean, target, 0.5)
    (gradient,) = torch.autograd.grad(loss, same)
    expected = torch.autograd.grad(comp_sum(same, target, 0.5), same)[0]
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("classes", [2, 4, 7])
def test_it_bounds_the_adversarial_loss(tau: float, classes: int) -> None:
    """Zero-one loss under attack <= margin loss under attack <= this loss, at the paper's nu."""

    def outer(total: torch.Tensor) -> torch.Tensor:
        if tau == 1:
            return total.log1p()
        return ((1 + total) ** (1 - tau) - 1) / (1 - tau)

    generator = torch.Generator().manual_seed(classes)
    num, temperature = 1500, 0.5
    clean = torch.randn(num, classes, dtype=torch.float64, generator=generator)
    adv = clean + torch.randn(num, classes, dtype=torch.float64, generator=generator)
    target = torch.randint(classes, (num,), generator=generator)
    others = torch.nn.functional.one_hot(target, classes) == 0
    gaps = adv.gather(1, target[:, None]) - adv
    ramp = (1 - gaps / temperature).clamp(0, 1)[others].view(num, classes - 1)
    margin_loss = outer(ramp.sum(1))
    wrong = (gaps[others].view(num, -1) <= 0).any(1)
    nu = math.sqrt(classes - 1) / temperature
    bound = smooth_adv_comp_sum(clean, target, adv, tau, temperature, nu, "none")
    assert (outer(torch.ones((), dtype=torch.float64)) * wrong <= margin_loss + 1e-12).all()
    assert (margin_loss <= bound + 1e-12).all()
    assert wrong.any()
    assert not wrong.all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    clean, adv, target = random_pair()
    clean, adv = clean.to(dtype).requires_grad_(), (10 * adv).to(dtype)
    loss = smooth_adv_comp_sum(clean, target, adv, 0.5)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, smooth_adv_comp_sum(clean.float(), target, adv.float(), 0.5))
    loss.backward()
    assert clean.grad.isfinite().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nu": -1.0}, "nu must be a number of at least 0, got -1.0"),
        ({"nu": math.inf}, "nu must be a number"),
        ({"tau": -1.0}, "tau must be a number of at least 0"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"reduction": "all"}, "reduction must be mean, sum or none"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothAdvCompSum(**options)
    with pytest.raises(ValueError, match=message):
        smooth_adv_comp_sum(CLEAN, FIRST, ADV, **options)


def test_ill_inputs() -> None:
    with pytest.raises(ValueError, match=r"shape of logits, \(1, 4\), got \(1, 3\)"):
        SmoothAdvCompSum()(CLEAN, FIRST, ADV[:, :3])
    with pytest.raises(ValueError, match="soft targets"):
        SmoothAdvCompSum()(CLEAN, CLEAN, ADV)
    with pytest.raises(ValueError, match="at least 2 outputs"):
        SmoothAdvCompSum()(CLEAN[:, :1], FIRST, ADV[:, :1])


def test_module_is_the_function() -> None:
    clean, adv, target = random_pair()
    objective = SmoothAdvCompSum(tau=0.5, temperature=2.0, nu=0.2, reduction="sum")
    expected = smooth_adv_comp_sum(clean, target, adv, 0.5, 2.0, 0.2, "sum")
    assert objective(clean, target, adv) == expected
    assert "tau=0.5, temperature=2, nu=0.2" in repr(objective)
