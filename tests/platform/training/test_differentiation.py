"""Gradients by inputs."""

from __future__ import annotations

import pytest
import torch

from trainwright.training.differentiation import input_gradient

BATCH = {"x": torch.tensor([[1.0], [2.0]]), "rating": torch.ones(2), "target": torch.tensor([0, 1])}


def test_the_gradient_is_that_of_the_sum_over_samples() -> None:
    plain = input_gradient(lambda batch: batch["x"].square().mean(), BATCH, ["x"])
    assert plain["x"].tolist() == [[2.0], [4.0]]
    scaled = input_gradient(lambda batch: batch["x"].square().mean(), BATCH, ["x"], scale=8.0)
    assert scaled["x"].tolist() == [[2.0], [4.0]]
    assert not BATCH["x"].requires_grad


@pytest.mark.parametrize("name", ["target", "y"])
def test_columns_that_are_no_numbers_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"by column '{name}'; .* are x, rating"):
        input_gradient(lambda batch: batch["x"].sum(), BATCH, [name])


def test_a_column_that_the_loss_does_not_use_is_refused() -> None:
    with pytest.raises(ValueError, match="does not depend on column 'rating'"):
        input_gradient(lambda batch: batch["x"].sum(), BATCH, ["x", "rating"])
