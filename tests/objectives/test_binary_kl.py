"""BinaryKL against worked numbers and its definition by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.binary_kl import BinaryKL

STUDENT = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=torch.float64)
TEACHER = torch.tensor([[2.0, -1.0, 0.0], [1.0, 1.0, -4.0]], dtype=torch.float64)


def by_hand(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for mine, theirs in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-mine / temperature))
        q = 1 / (1 + math.exp(-theirs / temperature))
        total += q * math.log(q / p) + (1 - q) * math.log((1 - q) / (1 - p))
    return temperature**2 * total / len(student)


def test_worked_value_and_gradient() -> None:
    student = STUDENT.clone().requires_grad_()
    value = BinaryKL(2.0)(student, TEACHER)
    value.backward()
    assert value.item() == pytest.approx(0.731227, abs=1e-6)
    worked = [[-0.108599, -0.108599, 0.062177], [-0.122459, 0.195115, 0.258338]]
    torch.testing.assert_close(student.grad, torch.tensor(worked).double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 7.0])
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_definition(temperature: float, dtype: torch.dtype, precision: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 40, 9, dtype=torch.float64, generator=generator)
    value = BinaryKL(temperature)(student.to(dtype), teacher.to(dtype))
    assert value.item() == pytest.approx(by_hand(student, teacher, temperature), rel=precision)


def test_zero_at_the_teacher_alone_and_not_symmetric() -> None:
    loss = BinaryKL()
    assert loss(TEACHER, TEACHER).item() == pytest.approx(0, abs=1e-15)
    assert loss(TEACHER + 1e-3, TEACHER) > 0
    assert (loss(STUDENT, TEACHER) - loss(TEACHER, STUDENT)).abs() > 1e-3


def test_it_saturates_where_the_teacher_is_sure() -> None:
    student = torch.tensor([[40.0]], dtype=torch.float64, requires_grad=True)
    BinaryKL(2.0)(student, torch.tensor([[60.0]])).backward()
    assert student.grad.abs() < 1e-8
