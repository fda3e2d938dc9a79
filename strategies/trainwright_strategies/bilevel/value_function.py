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

from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from trainwright_objectives.options import check_above_zero

Vector = TypeVar("Vector", bound=Any)


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
        bound: largest multiplier r, above 0: Z = [0, r]^l.
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

    def project(self, multiplier: Tensor) -> Tensor:
        """The nearest multiplier in Z."""
        return multiplier.clamp(0.0, self.bound)


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
