"""Gradients of two losses: how far they agree, and one without what opposes the other."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from trainwright.strategy import Gradient

Scope = Literal["all", "shared"]


def aligned(task: Gradient, distillation: Gradient, scope: Scope) -> Gradient:
    """``distillation`` without what opposes ``task``; the gradient of the task is never changed.

    Args:
        task: gradient of the task's loss.
        distillation: gradient of the other, over the same parameters.
        scope: project out the direction of ``task`` over ``all`` parameters, or its part over the
            ``shared`` ones alone, those that ``distillation`` reaches.

    Example:
        >>> import torch
        >>> task = Gradient({"w": torch.tensor([1.0, 2.0, 0.0])})
        >>> other = Gradient({"w": torch.tensor([-1.0, 0.2, 3.0])})
        >>> [round(value, 2) for value in aligned(task, other, "all")["w"].tolist()]
        [-0.88, 0.44, 3.0]
    """
    dot = task.dot(distillation)
    if dot >= 0:
        return distillation
    if scope == "shared":
        task = Gradient({n: value * distillation[n].any() for n, value in task.items()})
    return distillation.axpy(-dot / task.dot(task), task)


def cosine(first: Gradient, second: Gradient, names: list[str]) -> Tensor:
    """Cosine between two gradients over some parameters; 0 where one of them vanishes."""
    one, other = (Gradient({n: g[n] for n in names}) for g in (first, second))
    return one.dot(other) / (one.norm() * other.norm()).clamp(min=1e-300)
