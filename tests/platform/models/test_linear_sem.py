"""linear_sem: no node speaks of itself."""

from __future__ import annotations

import torch

from trainwright.models import LinearSem


def test_outputs_by_hand() -> None:
    model = LinearSem(3)
    assert model.weight.eq(0).all()
    model.weight.data = torch.arange(9.0).reshape(3, 3)
    x = torch.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    outputs = model(x)
    weights = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 5.0], [6.0, 7.0, 0.0]])
    torch.testing.assert_close(outputs["logits"], x @ weights)
    assert outputs["weights"].shape == (2, 3, 3)
    assert outputs["weights"].eq(weights).all()


def test_no_update_moves_the_diagonal() -> None:
    model = LinearSem(3)
    outputs = model(torch.randn(5, 3))
    (outputs["logits"].square().sum() + outputs["weights"].sum()).backward()
    assert model.weight.grad is not None
    assert model.weight.grad.diagonal().eq(0).all()
    assert model.weight.grad[0, 1] != 0
