"""BinaryKL-Norm against worked numbers, its definition by hand, and its limits."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.binary_kl_norm import BinaryKLNorm

STUDENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TEACHER = torch.tensor([[2.0, -1.0, 0.0], [1.0, 1.0, -4.0]], dtype=torch.float64)


def by_hand(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """Divergences from 1/2 with clamped probabilities, one class after another."""
    total = 0.0
    for mine, theirs in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        s = 1 / (1 + math.exp(-(mine - theirs) / temperature))
        s = min(max(s, 1e-8), 1 - 1e-8)
        total += 0.5 * math.log(0.5 / s) + 0.5 * math.log(0.5 / (1 - s))
    return temperature**2 * total / len(student)


def test_worked_value_and_gradient() -> None:
    student = STUDENT.clone().requires_grad_()
    value = BinaryKLNorm(2.0)(student, TEACHER)
    value.backward()
    assert value.item() == pytest.approx(0.957925, abs=1e-6)
    worked = [[-0.122459, -0.122459, 0.062177], [-0.122459, 0.231059, 0.317574]]
    torch.testing.assert_close(student.grad, torch.tensor(worked).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [1.5, 2.0, 7.0])
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_definition(temperature: float, dtype: torch.dtype, precision: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 40, 9, dtype=torch.float64, generator=generator)
    expected = by_hand(student, teacher, temperature)
    value = BinaryKLNorm(temperature)(student.to(dtype), teacher.to(dtype))
    assert value.item() == pytest.approx(expected, rel=precision)


def test_zero_at_the_teacher_alone_and_symmetric() -> None:
    loss = BinaryKLNorm()
    at_teacher = TEACHER.clone().requires_grad_()
    value = loss(at_teacher, TEACHER)
    value.backward()
    assert value.item() == 0
    assert (at_teacher.grad == 0).all()
    assert loss(TEACHER + 1e-3, TEACHER) > 0
    torch.testing.assert_close(loss(STUDENT, TEACHER), loss(TEACHER, STUDENT), rtol=1e-12, atol=0)


def test_a_common_shift_counts() -> None:
    student, teacher = torch.tensor([[-2.0, -1.0, 0.0]]), torch.tensor([[2.0, 3.0, 4.0]])
    assert BinaryKLNorm()(student, teacher).item() == pytest.approx(5.205370, abs=1e-5)


@pytest.mark.parametrize(("size", "temperature"), [(1e-3, 2.0), (1.0, 1e3)])
def test_small_differences_are_squared(size: float, temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    difference = size * torch.randn(4, 6, dtype=torch.float64, generator=generator)
    value = BinaryKLNorm(temperature)(TEACHER.new_zeros(4, 6) + difference, torch.zeros(4, 6))
    assert value.item() / (difference.square().sum() / 32).item() == pytest.approx(1, abs=1e-6)


def test_the_pull_is_bounded_and_never_vanishes_far_away() -> None:
    distance = torch.tensor([[1.0, 50.0, 1e3, -1e6]], dtype=torch.float64).T.requires_grad_()
    BinaryKLNorm(2.0, reduction="sum")(distance, torch.full((4, 1), 7.0)).backward()
    assert (distance.grad.abs() <= 1.0).all()  # T / 2
    assert distance.grad[1:].abs().min() > 0.99
