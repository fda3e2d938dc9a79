"""What adversarial methods share: the ball around a sample, and the ascent inside it (PGD)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from trainwright.strategy import SampleRandom
from trainwright_objectives.options import check_at_least_zero
from trainwright_objectives.precision import at_least_float32

Norm = Literal["linf", "l2"]
Direction = Literal["steepest", "gradient", "adam"]
InputGradient = Callable[[Tensor], Tensor]
"""Inputs of shape (B, *) -> the gradient by them of what an attack makes large."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """Projected gradient ascent on each sample inside a ball around it (PGD).

    Perturbations are kept in float32 where the inputs are in half precision, in which a step may
    be smaller than the distance of neighbouring numbers.

    Attributes:
        eps: radius of the ball, in units of the inputs; 0 leaves inputs as they are.
        steps: number of gradients.
        step_size: length of a step; None for ``eps / 4``.
        norm: of the ball.
        direction: of a step; ``steepest`` is the sign of the gradient in ``linf`` and its unit
            vector in ``l2``, ``gradient`` takes it as it is, ``adam`` divides its running mean by
            the root of its running square.
        random_start: begin at a random point of the ball instead of its centre.
        clip: the range of valid inputs; None for none.

    Raises:
        ValueError: an option is out of range.
    """

    eps: float
    steps: int = 10
    step_size: float | None = None
    norm: Norm = "linf"
    direction: Direction = "steepest"
    random_start: bool = True
    clip: tuple[float, float] | None = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_at_least_zero("eps", self.eps)
        if isinstance(self.steps, bool) or not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        size = self.step_size
        if size is not None and not (math.isfinite(size) and size > 0):
            raise ValueError(f"step_size must be None or a number above 0, got {size!r}")
        if self.norm not in ("linf", "l2"):
            raise ValueError(f"norm must be linf or l2, got {self.norm!r}")
        if self.direction not in get_args(Direction):
            allowed = ", ".join(get_args(Direction))
            raise ValueError(f"direction must be one of {allowed}, got {self.direction!r}")
        if self.clip is not None and not self.clip[0] < self.clip[1]:
            raise ValueError(f"clip must be a smaller and a larger number, got {self.clip!r}")

    def __call__(self, x: Tensor, gradient: InputGradient, random: SampleRandom) -> Tensor:
        """The perturbed inputs, with their shape and type, detached.

        Args:
            x: clean inputs, shape (B, *).
            gradient: of what shall become large; each sample's must not depend on the others.
            random: numbers for the random start.

        Raises:
            ValueError: inputs lie outside of ``clip``.
        """
        if self.eps == 0:
            return x
        self.check(x)
        moved, along = self.start(x, random), self.along()
        for _ in range(self.steps):
            moved = self.step(x, moved, along(gradient(moved.to(x.dtype)).to(moved)))
        return moved.to(x.dtype)

    def check(self, x: Tensor) -> None:
        """Refuse inputs outside of the valid range, which clipping would destroy.

        Raises:
            ValueError: there are some.
        """
        if self.clip is None or x.numel() == 0:
            return
        low, high = torch.stack(torch.aminmax(x)).tolist()
        if low < self.clip[0] or high > self.clip[1]:
            raise ValueError(
                f"inputs lie in [{low:.4g}, {high:.4g}], beyond the valid range clip = "
                f"{list(self.clip)}: give their true range, or null for none (eps counts in "
                "units of the inputs after all transforms)"
            )

    def start(self, x: Tensor, random: SampleRandom) -> Tensor:
        """Where the ascent begins: uniform in the ball, or its centre."""
        x = at_least_float32(x.detach())
        if not self.random_start:
            return x
        shape = tuple(x.shape[1:])
        if self.norm == "linf":
            return self.project(x, x + self.eps * (2 * random.uniform(shape).to(x) - 1))
        direction = _unit(random.normal(shape).to(x))
        # Volume grows with the power of the dimension.
        radius = random.uniform().to(x) ** (1 / math.prod(shape))
        return self.project(x, x + self.eps * _rows(radius, x) * direction)

    def along(self) -> Callable[[Tensor], Tensor]:
        """From the gradients of one ascent, in their order, the directions of its steps."""
        if self.direction == "gradient":
            return lambda gradient: gradient
        if self.direction == "adam":
            return _Adam()
        return torch.sign if self.norm == "linf" else _unit

    def step(self, x: Tensor, moved: Tensor, direction: Tensor) -> Tensor:
        """``step_size`` times a direction, and back into the ball."""
        size = self.eps / 4 if self.step_size is None else self.step_size
        return self.project(x, moved + size * direction)

    def project(self, x: Tensor, moved: Tensor) -> Tensor:
        """The nearest point of the ball around ``x``, then of the valid range."""
        centre = at_least_float32(x.detach())
        delta = moved - centre
        if self.norm == "linf":
            delta = delta.clamp(-self.eps, self.eps)
        else:
            length = delta.flatten(1).norm(dim=1)
            delta = delta * _rows((self.eps / length.clamp(min=self.eps)), delta)
        moved = centre + delta
        return moved if self.clip is None else moved.clamp(*self.clip)


class _Adam:
    """The directions of Adam, with its usual constants."""

    def __init__(self) -> None:
        self._mean: Tensor | float = 0.0
        self._square: Tensor | float = 0.0
        self._count = 0

    def __call__(self, gradient: Tensor) -> Tensor:
        self._count += 1
        self._mean = 0.9 * self._mean + 0.1 * gradient
        self._square = 0.999 * self._square + 0.001 * gradient.square()
        mean = self._mean / (1 - 0.9**self._count)
        square = self._square / (1 - 0.999**self._count)
        return mean / (square.sqrt() + 1e-8)


def attacked_column(batch: Mapping[str, Tensor], name: str | None) -> str:
    """The column to perturb: the given one, or the only one of floating-point numbers.

    Raises:
        ValueError: there is no such column, or several.
    """
    floating = [n for n, v in batch.items() if v.is_floating_point() and n != "sample_weight"]
    if name is None and len(floating) == 1:
        return floating[0]
    if name in floating:
        return name
    problem = "says which" if name is None else f"names {name!r}, which is none of them:"
    raise ValueError(
        f"one column of floating-point numbers is changed; the option column {problem} "
        f"of {', '.join(floating) or 'none'}"
    )


def _unit(x: Tensor) -> Tensor:
    """Each sample divided by its L2 norm; zeros stay zeros."""
    length = x.flatten(1).norm(dim=1)
    return x / _rows(length.clamp(min=torch.finfo(x.dtype).tiny), x)


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """One value per sample, ready to multiply ``like``."""
    return values.view(-1, *[1] * (like.dim() - 1))
