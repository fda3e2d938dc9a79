"""Losses on aggregate responses of linear models: closed form, shrinkage, and the best of both."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainwright_objectives.aggregate_interpolating import AggregateInterpolating


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear_data(
    num_bags: int, size: int, dim: int, noise: float, seed: int = 0
) -> tuple[torch.Tensor, ...]:
    x = numbers(num_bags * size, dim, seed=seed)
    theta = functional.normalize(numbers(dim, seed=seed + 1), dim=0)
    y = x @ theta + noise * numbers(num_bags * size, seed=seed + 2)
    return x, torch.arange(num_bags).repeat_interleave(size), y.reshape(-1, size).mean(1), theta


def closed_form(x: torch.Tensor, response: torch.Tensor, rho: float) -> torch.Tensor:
    means = x.reshape(len(response), -1, x.shape[1]).mean(1)
    both = (1 - rho) * means.T @ means / len(response) + rho * x.T @ x / len(x)
    return torch.linalg.lstsq(both, means.T @ response / len(response)).solution


@pytest.mark.parametrize("rho", [0.0, 0.1, 1.0])
def test_linear_models_reach_the_closed_form(rho: float) -> None:
    x, bag_id, response, _ = linear_data(60, 4, 5, 0.5)
    objective = AggregateInterpolating(rho)
    theta = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [theta],
        max_iter=100,
        tolerance_grad=1e-10,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = objective(x @ theta, bag_id, response)
        value.backward()
        return value

    loss()
    means = x.reshape(60, 4, 5).mean(1)
    torch.testing.assert_close(theta.grad, -2 * means.T @ response / 60, atol=1e-12, rtol=0)
    optimizer.step(loss)
    torch.testing.assert_close(theta.detach(), closed_form(x, response, rho), atol=1e-6, rtol=0)


def test_the_instance_level_shrinks_and_the_bag_level_does_not() -> None:
    x, _, response, theta = linear_data(50_000, 4, 3, 0.0)
    for rho, factor in ((0.0, 1.0), (0.5, 0.4), (1.0, 0.25)):
        found = closed_form(x, response, rho)
        assert (found @ theta).item() == pytest.approx(factor, abs=0.01)
        torch.testing.assert_close(found, factor * theta, atol=0.01, rtol=0)


def test_in_between_is_best_for_a_linear_model() -> None:
    errors = {rho: [] for rho in (0.0, 0.05, 1.0)}
    for seed in range(0, 60, 3):
        x, _, response, theta = linear_data(80, 6, 50, 0.5, seed)
        for rho, found in errors.items():
            found.append((closed_form(x, response, rho) - theta).square().sum().item())
    bag_level, between, instance_level = (sum(v) / len(v) for v in errors.values())
    assert between < 0.8 * bag_level
    assert between < 0.5 * instance_level
