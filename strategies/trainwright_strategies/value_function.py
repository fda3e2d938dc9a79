"""Proximal Lagrangian value functions: constrained bilevel problems by first derivatives alone.

The problem is to minimise F(x, y) over (x, y) in C, where y minimises f(x, .) subject to
g(x, y) <= 0. Its lower level is replaced by f(x, y) - v(x, y, z) <= 0, with

    v(x, y, z) = min over theta, max over lambda in Z of f(x, theta) + <lambda, g(x, theta)>
                 + |theta - y|^2 / (2 gamma_1) - |lambda - z|^2 / (2 gamma_2),

which is 0 exactly where y solves the lower level with the multiplier z. One step moves theta and
lambda towards that saddle point, and x, y and z down the penalised F / c_k + f - v. The small
functions take anything that can be added and scaled: tensors, or gradients of a whole model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from trainwright_objectives.options import check_above_zero

Vector = TypeVar("Vector", bound=Any)
Function = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Rates:
    """Steps, proximal weights and the penalty of the method.

    Attributes:
        alpha: step of x and y, above 0.
        beta: step of z, above 0; multipliers' anchors must move slowly.
        eta: step of theta and lambda, above 0, below about (1 / gamma_1 + 1 / gamma_2) over the
            squared norm of the constraints' Jacobian.
        gamma_1: proximal weight of theta, above 0.
        gamma_2: proximal weight of lambda, above 0.
        c0: c_k = c0 * (k + 1)^p, above 0.
        p: in (0, 0.5].
        bound: largest multiplier r, above 0: Z = [0, r]^l, or [-r, r]^l for equalities.
    """

    alpha: float = 0.1
    beta: float = 0.1
    eta: float = 0.1
    gamma_1: float = 1.0
    gamma_2: float = 1.0
    c0: float = 1.0
    p: float = 0.3
    bound: float = 1e3

    def __post_init__(self) -> None:
        """Refuse what cannot converge.

        Raises:
            ValueError: an attribute is out of range.
        """
        for name in ("alpha", "beta", "eta", "gamma_1", "gamma_2", "c0", "bound"):
            value = getattr(self, name)
            check_above_zero(name, value)
        if not 0 < self.p <= 0.5:
            raise ValueError(f"p must be in (0, 0.5], got {self.p!r}")

    def penalty(self, step: int) -> float:
        """c_k, the factor by which the lower level outweighs F in step k, from 0."""
        return float(self.c0 * (step + 1) ** self.p)

    def project(self, multiplier: Tensor, equality: bool = False) -> Tensor:
        """The nearest multiplier in Z."""
        return multiplier.clamp(-self.bound if equality else 0.0, self.bound)


def saddle_theta(gradient: Vector, theta: Vector, y: Vector, rates: Rates) -> Vector:
    """Direction of theta: ``gradient`` is that of f + <lambda, g> with respect to theta."""
    direction: Vector = gradient + (theta - y) * (1 / rates.gamma_1)
    return direction


def saddle_multiplier(constraint: Tensor, multiplier: Tensor, z: Tensor, rates: Rates) -> Tensor:
    """Direction of lambda, downwards, of minus the saddle function."""
    return (multiplier - z) / rates.gamma_2 - constraint


def descent_y(
    upper: Vector, lower: Vector, theta: Vector, y: Vector, rates: Rates, k: int
) -> Vector:
    """Direction of y from the gradients of F and f with respect to it."""
    direction: Vector = upper * (1 / rates.penalty(k)) + lower - (y - theta) * (1 / rates.gamma_1)
    return direction


def descent_z(multiplier: Tensor, z: Tensor, rates: Rates) -> Tensor:
    """Direction of z."""
    return (z - multiplier) / rates.gamma_2


class Point(NamedTuple):
    """Where the method is.

    Attributes:
        x: variables of the upper level.
        y: variables of the lower level.
        theta: follows y, as the lower level would have it.
        multiplier: lambda.
        z: anchor of the multiplier.
    """

    x: Tensor
    y: Tensor
    theta: Tensor
    multiplier: Tensor
    z: Tensor


@dataclass(frozen=True)
class Problem:
    """A bilevel problem of vectors; all functions are differentiable.

    Attributes:
        upper: F(x, y).
        lower: f(x, y).
        constraint: g(x, y), of shape (l,).
        project: nearest point of C to (x, y).
        project_lower: nearest point of Y to theta.
        equality: g = 0 instead of g <= 0.
    """

    upper: Function
    lower: Function
    constraint: Function
    project: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    project_lower: Callable[[Tensor], Tensor] = lambda theta: theta
    equality: bool = False

    def lagrangian(self, x: Tensor, theta: Tensor, multiplier: Tensor) -> Tensor:
        """f(x, theta) + <lambda, g(x, theta)>."""
        return self.lower(x, theta) + (multiplier * self.constraint(x, theta)).sum()


def gradients(function: Callable[..., Tensor], *arguments: Tensor) -> tuple[Tensor, ...]:
    """First derivatives of a scalar function with respect to its arguments."""
    inputs = [argument.detach().requires_grad_() for argument in arguments]
    found = torch.autograd.grad(function(*inputs), inputs, allow_unused=True)
    return tuple(
        torch.zeros_like(value) if gradient is None else gradient
        for value, gradient in zip(inputs, found, strict=True)
    )


def saddle_step(problem: Problem, at: Point, rates: Rates) -> Point:
    """Move theta and lambda, both from where they were."""
    _, gradient, _ = gradients(problem.lagrangian, at.x, at.theta, at.multiplier)
    constraint = problem.constraint(at.x, at.theta)
    theta = at.theta - rates.eta * saddle_theta(gradient, at.theta, at.y, rates)
    step = saddle_multiplier(constraint, at.multiplier, at.z, rates)
    multiplier = rates.project(at.multiplier - rates.eta * step, problem.equality)
    return at._replace(theta=problem.project_lower(theta), multiplier=multiplier)


def step(problem: Problem, at: Point, rates: Rates, k: int) -> Point:
    """Step ``k`` of the method, from 0."""
    at = saddle_step(problem, at, rates)
    upper_x, upper_y = gradients(problem.upper, at.x, at.y)
    lower_x, lower_y = gradients(problem.lower, at.x, at.y)
    value_x, _, _ = gradients(problem.lagrangian, at.x, at.theta, at.multiplier)
    x = at.x - rates.alpha * (upper_x / rates.penalty(k) + lower_x - value_x)
    y = at.y - rates.alpha * descent_y(upper_y, lower_y, at.theta, at.y, rates, k)
    z = at.z - rates.beta * descent_z(at.multiplier, at.z, rates)
    x, y = problem.project(x, y)
    return at._replace(x=x, y=y, z=rates.project(z, problem.equality))


class Value(NamedTuple):
    """The value function at one point.

    Attributes:
        value: v(x, y, z).
        theta: where its minimum is.
        multiplier: where its maximum is.
        gradient: of v with respect to x, y and z.
    """

    value: Tensor
    theta: Tensor
    multiplier: Tensor
    gradient: tuple[Tensor, Tensor, Tensor]


def value_function(
    problem: Problem, at: Point, rates: Rates, tolerance: float = 1e-10, max_steps: int = 100_000
) -> Value:
    """v(x, y, z), by steps towards the saddle point until they are short.

    Raises:
        RuntimeError: they do not become short; ``rates.eta`` is too large or too small.
    """
    for _ in range(max_steps):
        new = saddle_step(problem, at, rates)
        moved = (new.theta - at.theta).norm() + (new.multiplier - at.multiplier).norm()
        at = new
        if moved <= tolerance * rates.eta:
            break
    else:
        raise RuntimeError(f"no saddle point after {max_steps} steps of eta = {rates.eta:g}")
    near = (at.theta - at.y).square().sum() / (2 * rates.gamma_1)
    anchored = (at.multiplier - at.z).square().sum() / (2 * rates.gamma_2)
    value = problem.lagrangian(at.x, at.theta, at.multiplier) + near - anchored
    of_x, _, _ = gradients(problem.lagrangian, at.x, at.theta, at.multiplier)
    of_y = (at.y - at.theta) / rates.gamma_1
    of_z = (at.multiplier - at.z) / rates.gamma_2
    return Value(value, at.theta, at.multiplier, (of_x, of_y, of_z))
