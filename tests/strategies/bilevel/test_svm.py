"""The machine with a cost for each sample: solved, constrained, differentiated once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from trainwright_strategies.bilevel.problem import gradients, step
from trainwright_strategies.bilevel.svm import (
    Samples,
    constraint_matrix,
    solved,
    start_of,
    svm_problem,
)
from trainwright_strategies.bilevel.value_function import Rates


def samples(n: int, seed: int, wrong: float = 0.0) -> Samples:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 3, dtype=torch.float64, generator=generator)
    signs = torch.sign(features[:, 0] + 0.3)
    flipped = torch.rand(n, generator=generator) < wrong
    return Samples(features, torch.where(flipped, -signs, signs))


def test_the_machine_against_a_slow_solver_with_slacks() -> None:
    train = samples(12, seed=0, wrong=0.3)
    costs = torch.linspace(-2, 1, 12, dtype=torch.float64).exp()
    matrix, c = constraint_matrix(train).numpy(), costs.numpy()
    slow = minimize(
        lambda u: (u[:3] @ u[:3] + c @ u[4:] ** 2) / 2,
        np.concatenate([np.zeros(4), np.full(12, 2.0)]),
        method="SLSQP",
        tol=1e-14,
        options={"maxiter": 500},
        constraints={"type": "ineq", "fun": lambda u: matrix @ u - 1, "jac": lambda u: matrix},
    )
    np.testing.assert_allclose(solved(train, costs).numpy(), slow.x, atol=1e-5)


def test_a_separable_machine_with_large_costs_has_no_slack() -> None:
    machine = solved(samples(10, seed=1), torch.full((10,), 1e6, dtype=torch.float64))
    assert machine[4:].max() < 1e-4


def test_the_start_is_a_saddle_point() -> None:
    """Theta and the multipliers rest where the machine is solved: nothing is left of f - v."""
    train = samples(15, seed=2, wrong=0.3)
    costs = torch.linspace(-2, 0.5, 15, dtype=torch.float64)
    problem = svm_problem(train, samples(8, seed=3), -4.0, 1.0, 1.0)
    at = start_of(problem, train, costs)
    _, of_theta, of_multiplier = gradients(problem.lagrangian, at.x, at.theta, at.multiplier)
    assert of_theta.norm() < 1e-8
    assert (of_multiplier * at.multiplier).abs().max() < 1e-8
    assert of_multiplier.max() < 1e-9


def test_constraints_hold_at_every_step_and_have_norm_one() -> None:
    train, rates = samples(15, seed=4, wrong=0.3), Rates(c0=0.05)
    matrix, problem = constraint_matrix(train), svm_problem(train, samples(8, seed=5), -4, 1, 100.0)
    at = start_of(problem, train, torch.zeros(15, dtype=torch.float64))
    jacobian = torch.stack(
        [gradients(lambda y, i=i: problem.values(at.x, y)[i], at.y)[0] for i in range(15)]
    )
    assert torch.linalg.matrix_norm(jacobian, 2) == pytest.approx(1.0)
    before = problem.upper(at.x, at.y)
    for k in range(30):
        at = step(problem, at, rates, k)
        assert (matrix @ at.y - 1).min() > -1e-9
        assert at.x.min() >= -4
        assert at.x.max() <= 1
    assert problem.upper(at.x, at.y) < before
    assert at.x.std() > 0.1


def test_a_step_of_costs_by_hand() -> None:
    train, rates = samples(6, seed=6, wrong=0.3), Rates(alpha=0.05, c0=0.05)
    problem = svm_problem(train, samples(8, seed=7), -9.0, 9.0, 20.0)
    at = start_of(problem, train, torch.zeros(6, dtype=torch.float64))
    at = at._replace(x=at.x + 0.1, y=at.y + 0.05)
    found = step(problem, at, rates, 2)
    slope = at.x.exp() * (at.y[4:].square() - found.theta[4:].square()) / 2
    torch.testing.assert_close(found.x, at.x - 20 * 0.05 * slope, rtol=1e-10, atol=1e-12)
