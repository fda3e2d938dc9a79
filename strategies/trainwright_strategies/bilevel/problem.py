"""Constrained bilevel problems of plain vectors, and one step of LV-HBA on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from trainwright_strategies.bilevel.value_function import (
    Rates,
    descent_y,
    descent_z,
    saddle_multiplier,
    saddle_theta,
)

Function = Callable[[Tensor, Tensor], Tensor]


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
        constraint: g(x, y), of shape (l,); None for a lower level without constraints.
        project: nearest point of C, where x and y are allowed and the constraint holds, to (x, y);
            needed with a constraint, else None where all points are allowed.
        project_lower: nearest point of Y to theta.
        equality: g = 0 instead of g <= 0.
        rate: step of x as a multiple of that of y; other than 1 only where ``project`` treats x
            and y apart, or weighs their distances so.

    Raises:
        ValueError: a constraint without a projection.
    """

    upper: Function
    lower: Function
    constraint: Function | None = None
    project: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    project_lower: Callable[[Tensor], Tensor] = lambda theta: theta
    equality: bool = False
    rate: float = 1.0

    def __post_init__(self) -> None:
        if self.constraint is not None and self.project is None:
            raise ValueError("a problem with a constraint needs project, the projection onto it")

    def values(self, x: Tensor, y: Tensor) -> Tensor:
        """g(x, y), of shape (l,); of shape (0,) without constraints."""
        return y.new_zeros(0) if self.constraint is None else self.constraint(x, y)

    def lagrangian(self, x: Tensor, theta: Tensor, multiplier: Tensor) -> Tensor:
        """f(x, theta) + <lambda, g(x, theta)>."""
        return self.lower(x, theta) + (multiplier * self.values(x, theta)).sum()

    def feasible(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest point of C."""
        return (x, y) if self.project is None else self.project(x, y)

    def multiplier(self, value: Tensor, rates: Rates) -> Tensor:
        """The nearest one that is allowed."""
        return value.clamp(-rates.bound, rates.bound) if self.equality else rates.project(value)

    def start(self, x: Tensor, y: Tensor, multiplier: Tensor | None = None) -> Point:
        """Where the method begins: theta at y, z at the multiplier, which is 0 if not given.

        Raises:
            ValueError: x and y are the same memory, so that a level would move the other's.
        """
        if x.numel() and x.data_ptr() == y.data_ptr():
            raise ValueError("x and y must be different variables, they share their memory")
        if multiplier is None:
            multiplier = torch.zeros_like(self.values(x, y))
        return Point(x, y, y.clone(), multiplier, multiplier.clone())


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
    constraint = problem.values(at.x, at.theta)
    theta = at.theta - rates.eta * saddle_theta(gradient, at.theta, at.y, rates)
    step = saddle_multiplier(constraint, at.multiplier, at.z, rates)
    multiplier = problem.multiplier(at.multiplier - rates.eta * step, rates)
    return at._replace(theta=problem.project_lower(theta), multiplier=multiplier)


def step(problem: Problem, at: Point, rates: Rates, k: int) -> Point:
    """Step ``k`` of the method, from 0."""
    at = saddle_step(problem, at, rates)
    upper_x, upper_y = gradients(problem.upper, at.x, at.y)
    lower_x, lower_y = gradients(problem.lower, at.x, at.y)
    value_x, _, _ = gradients(problem.lagrangian, at.x, at.theta, at.multiplier)
    x = at.x - problem.rate * rates.alpha * (upper_x / rates.penalty(k) + lower_x - value_x)
    y = at.y - rates.alpha * descent_y(upper_y, lower_y, at.theta, at.y, rates, k)
    z = at.z - rates.beta * descent_z(at.multiplier, at.z, rates)
    x, y = problem.feasible(x, y)
    return at._replace(x=x, y=y, z=problem.multiplier(z, rates))


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
