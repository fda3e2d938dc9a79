"""What the distillation losses have in common: shapes, types, reductions, refused options."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainwright_objectives.binary_kl import BinaryKL
from trainwright_objectives.binary_kl_norm import BinaryKLNorm
from trainwright_objectives.distillation_kl import DistillationKL

each_loss = pytest.mark.parametrize("loss", [BinaryKL, BinaryKLNorm, DistillationKL])


def logits(num: int = 6, classes: int = 5, scale: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return tuple(
        scale * torch.randn(num, classes, dtype=torch.float64, generator=generator)
        for _ in range(2)
    )


@each_loss
def test_reductions(loss: type[nn.Module]) -> None:
    student, teacher = logits()
    each = loss(reduction="none")(student, teacher)
    assert each.shape == (6,)
    torch.testing.assert_close(loss(reduction="sum")(student, teacher), each.sum())
    torch.testing.assert_close(loss()(student, teacher), each.sum() / 6)


@each_loss
def test_gradients(loss: type[nn.Module]) -> None:
    student, teacher = logits()
    teacher.requires_grad_()
    objective = loss(temperature=1.7)
    assert torch.autograd.gradcheck(lambda s: objective(s, teacher), student.requires_grad_())
    objective(student, teacher).backward()
    assert teacher.grad is None


@each_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(loss: type[nn.Module], dtype: torch.dtype) -> None:
    student, teacher = (value.to(dtype) for value in logits())
    student.requires_grad_()
    value = loss()(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss()(student.double(), teacher.double()).item(), 1e-5)
    value.backward()
    assert student.grad.dtype == dtype


@each_loss
def test_distant_logits_keep_a_finite_value_and_gradient(loss: type[nn.Module]) -> None:
    student = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    value = loss()(student, torch.tensor([[-1e4, 1e4, 3e3]]))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()
    assert (student.grad[0, 0] > 0) & (student.grad[0, 1] < 0)


@each_loss
def test_refused(loss: type[nn.Module]) -> None:
    for temperature in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"temperature must be a number above 0, got"):
            loss(temperature=temperature)
    with pytest.raises(ValueError, match="reduction must be mean, sum or none, got 'avg'"):
        loss(reduction="avg")
    with pytest.raises(ValueError, match=r"same shape \(N, C\), got \(2, 3\) and \(2, 4\)"):
        loss()(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"got \(3,\) and \(3,\)"):
        loss()(torch.zeros(3), torch.zeros(3))
