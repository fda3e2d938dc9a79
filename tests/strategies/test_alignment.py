"""Gradients of the distillation without what opposes the task, by hand."""

from __future__ import annotations

import pytest
import torch

from trainwright.strategy import Gradient
from trainwright_strategies.alignment import aligned, cosine


def vector(*values: float) -> Gradient:
    return Gradient({"w": torch.tensor(values, dtype=torch.float64)})


def test_worked_projection() -> None:
    task, other = vector(1.0, 2.0, 0.0), vector(-1.0, 0.2, 3.0)
    moved = aligned(task, other, "all")
    torch.testing.assert_close(moved["w"], vector(-0.88, 0.44, 3.0)["w"])
    torch.testing.assert_close((task + moved)["w"], vector(0.12, 2.44, 3.0)["w"])
    assert float(moved.dot(task)) == pytest.approx(0, abs=1e-12)


def test_agreeing_gradients_are_left_alone() -> None:
    assert aligned(vector(1.0, 2.0), vector(-1.0, 0.5), "all")["w"].tolist() == [-1.0, 0.5]
    assert aligned(vector(1.0, 2.0), vector(-1.0, 0.6), "shared")["w"].tolist() == [-1.0, 0.6]


def test_scopes_differ_by_what_the_distillation_does_not_reach() -> None:
    task = Gradient({"body": torch.tensor([1.0]), "head": torch.tensor([3.0])})
    other = Gradient({"body": torch.tensor([-2.0]), "head": torch.tensor([0.0])})
    every, shared = (aligned(task, other, scope) for scope in ("all", "shared"))
    assert [round(float(v), 6) for v in every.values()] == [-1.8, 0.6]
    assert [float(v) for v in shared.values()] == [0.0, 0.0]


def test_an_aligned_step_descends_the_task_no_slower() -> None:
    generator = torch.Generator().manual_seed(0)
    for scope in ("all", "shared"):
        for _ in range(50):
            task, other = (
                Gradient({n: torch.randn(5, generator=generator) for n in "ab"}) for _ in range(2)
            )
            step = task + aligned(task, other, scope)
            assert float(step.dot(task)) >= (1 - 1e-6) * float(task.dot(task))


def test_cosine() -> None:
    assert float(cosine(vector(1.0, 0.0), vector(1.0, 1.0), ["w"])) == pytest.approx(0.5**0.5)
    assert float(cosine(vector(0.0, 0.0), vector(1.0, 1.0), ["w"])) == 0
