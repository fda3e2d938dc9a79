"""The value function and the method against worked numbers of two toy problems."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainwright_strategies.bilevel.problem import (
    Point,
    Problem,
    gradients,
    saddle_step,
    step,
    value_function,
)
from trainwright_strategies.bilevel.projections import onto_equalities
from trainwright_strategies.bilevel.value_function import Rates

DOUBLE = torch.float64
N = 5


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=DOUBLE)


TOY_A = Problem(
    upper=lambda x, y: ((x - 1) ** 2 + (y - 2) ** 2).sum(),
    lower=lambda x, y: ((y - 2 * x) ** 2 / 2).sum(),
    constraint=lambda x, y: y - 1,
    project=lambda x, y: (x.clamp(-2, 2), y.clamp(max=1)),
)
"""One variable each, an inequality; the solution is x = y = 1 with the multiplier 1."""


PLANE = torch.ones(1, 3 * N, dtype=DOUBLE)


def on_the_plane(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    both = onto_equalities(torch.cat([x, y]), PLANE, torch.zeros(1, dtype=DOUBLE))
    return both[:N], both[N:]


TOY_B = Problem(
    upper=lambda x, y: (x - y[N:]).square().sum() / 2 + (y[:N] - 1).square().sum() / 2,
    lower=lambda x, y: y[:N].square().sum() / 2 - (x * y[:N]).sum() + y[N:].sum(),
    constraint=lambda x, y: (x.sum() + y.sum())[None],
    project=on_the_plane,
    equality=True,
)
"""An equality; the lower level has many solutions. Best: x = -0.3, y = (0.7, -0.4)."""


def at(x: float, y: float, z: float) -> Point:
    return Point(vector(x), vector(y), vector(0.0), vector(0.0), vector(z))


def test_worked_value_and_gradient() -> None:
    found = value_function(TOY_A, at(0.8, 0.6, 0.3), Rates())
    assert found.value.item() == pytest.approx(0.258333, abs=1e-6)
    assert found.theta.item() == pytest.approx(0.966667, abs=1e-6)
    assert found.multiplier.item() == pytest.approx(0.266667, abs=1e-6)
    worked = [1.266667, -0.366667, -0.033333]
    assert [part.item() for part in found.gradient] == pytest.approx(worked, abs=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    point = (0.8, 0.6, 0.3)
    exact = value_function(TOY_A, at(*point), Rates(), tolerance=1e-13).gradient
    for index, part in enumerate(exact):
        ends = []
        for sign in (-1, 1):
            moved = list(point)
            moved[index] += sign * 1e-4
            ends.append(value_function(TOY_A, at(*moved), Rates(), tolerance=1e-13).value.item())
        assert part.item() == pytest.approx((ends[1] - ends[0]) / 2e-4, abs=1e-8)


@pytest.mark.parametrize(("z", "gap"), [(0.6, 0.0), (0.0, 0.06)])
def test_nothing_is_left_at_a_solution_with_its_multiplier(z: float, gap: float) -> None:
    point = at(0.8, 1.0, z)
    found = value_function(TOY_A, point, Rates())
    assert (TOY_A.lower(point.x, point.y) - found.value).item() == pytest.approx(gap, abs=1e-9)
    if z == 0.6:
        assert (found.theta.item(), found.multiplier.item()) == pytest.approx((1.0, 0.6))


def test_the_value_is_never_above_the_lower_level() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        x, y, z = torch.rand(3, dtype=DOUBLE, generator=generator).tolist()
        point = at(4 * x - 2, 1 - 3 * y, 5 * z)
        found = value_function(TOY_A, point, Rates(gamma_1=0.5 + x, gamma_2=0.5 + y))
        assert (TOY_A.lower(point.x, point.y) - found.value).item() >= -1e-9


def test_without_constraints_it_is_the_moreau_envelope() -> None:
    free = Problem(upper=lambda x, y: (x + y).sum(), lower=lambda x, y: y.square().sum() / 2)
    for y in (-2.0, 0.3, 1.7):
        point = Point(vector(0.0), vector(y), vector(0.0), vector(), vector())
        found = value_function(free, point, Rates()).value.item()
        assert found == pytest.approx(y**2 / 4, abs=1e-9)


def run(problem: Problem, point: Point, rates: Rates, steps: int, first: int = 0) -> Point:
    for k in range(first, first + steps):
        point = step(problem, point, rates, k)
        x, y = problem.feasible(point.x, point.y)  # every iterate is where it may be
        assert (x - point.x).abs().max() < 1e-9
        assert (y - point.y).abs().max() < 1e-9
    return point


RATES_A = Rates(alpha=0.02, beta=0.05, eta=0.1, c0=1.0, p=0.3, bound=100.0)


def test_a_thousand_steps_of_toy_a() -> None:
    found = run(TOY_A, at(-1.0, -1.0, 0.0), RATES_A, 1000)
    assert found.x.item() == pytest.approx(0.91417, abs=1e-5)
    assert found.y.item() == 1.0
    assert found.theta.item() == pytest.approx(1.00784, abs=1e-5)
    assert found.multiplier.item() == pytest.approx(0.81278, abs=1e-5)


@pytest.mark.slow
def test_ten_thousand_steps_of_toy_a() -> None:
    found = run(TOY_A, at(-1.0, -1.0, 0.0), RATES_A, 10_000)
    assert (found.x.item(), found.y.item()) == pytest.approx((0.99998, 1.0), abs=1e-5)
    assert found.multiplier.item() == pytest.approx(0.99995, abs=1e-5)
    assert found.z.item() == pytest.approx(0.99995, abs=1e-5)


def zeros(length: int) -> Tensor:
    return torch.zeros(length, dtype=DOUBLE)


RATES_B = Rates(alpha=0.008, beta=0.02, eta=0.01, gamma_1=10.0, gamma_2=10.0)


@pytest.mark.slow
def test_toy_b_comes_close_and_the_coupling_is_what_it_takes() -> None:
    start = Point(zeros(N), zeros(2 * N), zeros(2 * N), vector(1.0), vector(-1.0))
    found = run(TOY_B, start, RATES_B, 5000)
    assert found.x.tolist() == pytest.approx([-0.30687] * N, abs=1e-5)
    assert found.y.tolist() == pytest.approx([0.71114] * N + [-0.40427] * N, abs=1e-5)
    # Solving the lower level for x, y1 = x + 1 and y2 what the plane leaves, and following the
    # gradient of F by x alone, as if y did not depend on it, ends elsewhere.
    x = zeros(N)
    for _ in range(2000):
        y = torch.cat([x + 1, -2 * x - 1])
        x = x - 0.1 * gradients(TOY_B.upper, x, y)[0]
    assert x.tolist() == pytest.approx([-1 / 3] * N)
    error = (found.x + 0.3).norm() / zeros(N).sub(0.3).norm()
    assert error < 0.03 < 0.1 < (x + 0.3).norm() / zeros(N).sub(0.3).norm()
    found = run(TOY_B, found, RATES_B, 15_000, first=5000)
    assert (found.x + 0.3).norm() / zeros(N).sub(0.3).norm() == pytest.approx(0.0158, abs=1e-4)


def test_a_step_of_toy_b_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    x, y, theta = (torch.randn(n, dtype=DOUBLE, generator=generator) for n in (N, 2 * N, 2 * N))
    x, y = on_the_plane(x, y)
    point = Point(x, y, theta, vector(0.7), vector(-0.4))
    found = step(TOY_B, point, RATES_B, 4)
    of_theta = torch.cat([theta[:N] - x, torch.ones(N).double()]) + 0.7 + (theta - y) / 10
    multiplier = 0.7 - 0.01 * ((0.7 + 0.4) / 10 - (x.sum() + theta.sum()))
    theta = theta - 0.01 * of_theta
    of_x = (x - y[N:]) / 5**0.3 - y[:N] + theta[:N] - multiplier
    of_y = torch.cat([y[:N] - 1, y[N:] - x]) / 5**0.3 - (y - theta) / 10
    of_y = of_y + torch.cat([y[:N] - x, torch.ones(N).double()])
    x, y = on_the_plane(x - 0.008 * of_x, y - 0.008 * of_y)
    torch.testing.assert_close(found.theta, theta, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.multiplier[0], multiplier, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.x, x, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.y, y, rtol=1e-10, atol=1e-12)
    anchor = -0.4 + 0.02 * (multiplier + 0.4) / 10
    torch.testing.assert_close(found.z[0], anchor, rtol=1e-10, atol=1e-12)


def test_four_first_derivatives_a_step_and_no_second_one(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    ordinary = torch.autograd.grad

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(options.get("create_graph", False))
        return ordinary(*arguments, **options)

    monkeypatch.setattr(torch.autograd, "grad", counted)
    step(TOY_A, at(0.8, 0.6, 0.3), Rates(), 0)
    assert calls == [False] * 4


def test_a_coupled_constraint_is_differentiated_by_x_too() -> None:
    """g = |y|^2 / 2 - x: where it presses, x falls by its multiplier."""
    free = Problem(
        upper=lambda x, y: (y - 1).square().sum(),
        lower=lambda x, y: (y - 3).square().sum() / 2,
        constraint=lambda x, y: y.square() / 2 - x,
        project=lambda x, y: (x, y),
        rate=2.0,
    )
    point = Point(vector(0.5), vector(1.0), vector(1.2), vector(0.4), vector(0.3))
    rates = Rates(alpha=0.1, eta=0.05)
    found = step(free, point, rates, 0)
    multiplier = 0.4 - 0.05 * ((0.4 - 0.3) - (1.2**2 / 2 - 0.5))
    theta = 1.2 - 0.05 * ((1.2 - 3) + 0.4 * 1.2 + (1.2 - 1.0))
    assert found.multiplier.item() == pytest.approx(multiplier, rel=1e-10)
    assert found.theta.item() == pytest.approx(theta, rel=1e-10)
    assert found.x.item() == pytest.approx(0.5 - 2 * 0.1 * multiplier, rel=1e-10)
    assert found.y.item() == pytest.approx(1 - 0.1 * (0 - 2 - (1 - theta)), rel=1e-10)


def test_a_constraint_needs_a_projection() -> None:
    with pytest.raises(ValueError, match="needs project"):
        Problem(TOY_A.upper, TOY_A.lower, TOY_A.constraint)


def test_levels_need_variables_of_their_own() -> None:
    both = vector(0.3, 0.4)
    with pytest.raises(ValueError, match="x and y must be different variables"):
        TOY_A.start(both, both)
    begun = TOY_A.start(both[:1], both[1:])
    assert begun.theta.tolist() == begun.y.tolist() == [0.4]
    assert begun.multiplier.tolist() == begun.z.tolist() == [0.0]


def test_multipliers_stay_in_their_box() -> None:
    rates = Rates(eta=10.0, bound=0.5)
    below = saddle_step(TOY_A, at(0.0, -5.0, 0.0), rates)
    assert below.multiplier.item() == 0.0
    above = saddle_step(TOY_A, at(0.0, 0.0, 0.0)._replace(theta=vector(9.0)), rates)
    assert above.multiplier.item() == 0.5
    assert TOY_B.multiplier(vector(-3.0), rates).item() == -0.5


def test_a_saddle_that_is_not_reached_is_told() -> None:
    with pytest.raises(RuntimeError, match="no saddle point after 50 steps of eta = 5"):
        value_function(TOY_A, at(0.8, 0.6, 0.3), Rates(eta=5.0), max_steps=50)


@pytest.mark.parametrize("name", ["alpha", "beta", "eta", "gamma_1", "gamma_2", "c0", "bound"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_ill_rates(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a number above 0"):
        Rates(**{name: value})


@pytest.mark.parametrize("p", [0.0, 0.6, -0.1])
def test_ill_exponents(p: float) -> None:
    with pytest.raises(ValueError, match=r"p must be in \(0, 0.5\]"):
        Rates(p=p)
