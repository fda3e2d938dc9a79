"""The softmax divergence against its definition by hand, and its limits."""

from __future__ import annotations

import math

import pytest
import torch

from trainwright_objectives.distillation_kl import DistillationKL


def by_hand(student: list[float], teacher: list[float], temperature: float) -> float:
    exps = [[math.exp(value / temperature) for value in row] for row in (student, teacher)]
    p, q = ([value / sum(row) for value in row] for row in exps)
    return temperature**2 * sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("dtype", "precision"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_definition(temperature: float, dtype: torch.dtype, precision: float) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = 2 * torch.randn(2, 30, 7, dtype=torch.float64, generator=generator)
    value = DistillationKL(temperature)(student.to(dtype), teacher.to(dtype)).item()
    rows = zip(student.tolist(), teacher.tolist(), strict=True)
    mean = sum(by_hand(mine, theirs, temperature) for mine, theirs in rows) / 30
    assert value == pytest.approx(mean, rel=precision)


def test_a_common_shift_does_not_count() -> None:
    student, teacher = torch.tensor([[-2.0, -1.0, 0.0]]), torch.tensor([[2.0, 3.0, 4.0]])
    assert DistillationKL(2.0)(student, teacher).item() == pytest.approx(0, abs=1e-6)


def test_large_temperatures_match_centred_logits() -> None:
    """The limit that its paper derives."""
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(2, 8, 5, dtype=torch.float64, generator=generator)
    difference = (student - teacher) - (student - teacher).mean(1, keepdim=True)
    value = DistillationKL(1e4)(student, teacher).item()
    assert value == pytest.approx(difference.square().sum().item() / (2 * 5 * 8), rel=1e-3)
