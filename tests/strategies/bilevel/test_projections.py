"""Projections against slow solvers, at points that are in the sets, and where there is no set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from trainwright_strategies.bilevel.projections import onto_cone, onto_equalities, onto_halfspaces


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("repeated", [False, True])
def test_onto_equalities(repeated: bool) -> None:
    point, matrix, offset = random(6), random(3, 6, seed=1), random(3, seed=2)
    if repeated:
        matrix, offset = torch.cat([matrix, 2 * matrix[:1]]), torch.cat([offset, 2 * offset[:1]])
    nearest = onto_equalities(point, matrix, offset)
    assert (matrix @ nearest - offset).abs().max() < 1e-9
    # What was added stands upright on the plane.
    along = torch.linalg.lstsq(matrix.T, (point - nearest)[:, None], rcond=1e-12).solution
    torch.testing.assert_close(matrix.T @ along[:, 0], point - nearest, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(onto_equalities(nearest, matrix, offset), nearest, atol=1e-9, rtol=0)


@pytest.mark.parametrize("seed", range(4))
def test_onto_halfspaces(seed: int) -> None:
    """More half-spaces than dimensions, all of which hold at one point."""
    point, matrix = 3 * random(4, seed=seed), random(9, 4, seed=10 + seed)
    offset = matrix @ random(4, seed=20 + seed) - random(9, seed=30 + seed).abs()
    nearest = onto_halfspaces(point, matrix, offset)
    assert (matrix @ nearest - offset).min() > -1e-9
    slow = minimize(
        lambda u: ((u - point.numpy()) ** 2).sum() / 2,
        np.zeros(4),
        jac=lambda u: u - point.numpy(),
        method="SLSQP",
        tol=1e-12,
        constraints={
            "type": "ineq",
            "fun": lambda u: matrix.numpy() @ u - offset.numpy(),
            "jac": lambda u: matrix.numpy(),
        },
    )
    np.testing.assert_allclose(nearest.numpy(), slow.x, atol=1e-6)
    again = onto_halfspaces(nearest, matrix, offset)
    torch.testing.assert_close(again, nearest, atol=1e-9, rtol=0)


def test_a_point_in_all_halfspaces_stays() -> None:
    point, matrix = random(4), random(5, 4, seed=1)
    assert onto_halfspaces(point, matrix, matrix @ point) is point


def test_halfspaces_without_a_common_point() -> None:
    matrix = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="no point in common"):
        onto_halfspaces(random(2), matrix, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("rate", [1.0, 0.3, 10.0])
def test_onto_the_cone(rate: float) -> None:
    for length, bound in ((2.0, 0.5), (1.0, -0.2), (3.0, -0.5)):
        found = onto_cone(length, bound, rate)
        grid = torch.linspace(0, 4, 40_001, dtype=torch.float64)
        distance = (grid - length).square() + (grid - bound).square() / rate
        assert found[0] == found[1]
        assert found[0] == pytest.approx(float(grid[distance.argmin()]), abs=1e-4)
        assert onto_cone(*found, rate) == found


def test_the_cone_keeps_what_is_in_it_and_ends_at_zero() -> None:
    assert onto_cone(1.0, 2.0) == (1.0, 2.0)
    assert onto_cone(1.0, -1.5) == (0.0, 0.0)
    assert onto_cone(2.0, 1.0) == (1.5, 1.5)
