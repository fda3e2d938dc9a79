"""Importance sampling: scores, the distributions made of them, and what they do to variance."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Generator, Tensor
from torch.nn import functional

TauSchedule = Annotated[float, Field(ge=0, le=1)] | Literal["linear"]
"""How far a distribution follows the scores: a number in [0, 1], or growing with the epochs."""

TOLERANCE = 1e-9
"""How far the probabilities of a distribution may add up to something else than 1."""


def check_tau(name: str, tau: float) -> None:
    """Refuse what is no number in [0, 1].

    Args:
        name: of the option, for the message.
        tau: its value.

    Raises:
        ValueError: it is none.
    """
    if isinstance(tau, (str, bool)) or not 0 <= tau <= 1:
        raise ValueError(f"{name} must be a number in [0, 1], got {tau!r}")


def check_tau_schedule(schedule: float | str) -> None:
    """Refuse what is neither ``linear`` nor a number in [0, 1].

    Raises:
        ValueError: it is none of them.
    """
    if isinstance(schedule, str) and schedule != "linear":
        raise ValueError(f"tau_schedule must be linear or a number in [0, 1], got {schedule!r}")
    if not isinstance(schedule, str):
        check_tau("tau_schedule", schedule)


def check_label_smoothing(label_smoothing: float) -> None:
    """Refuse what is no share below 1.

    Raises:
        ValueError: it is none.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing!r}")


def tau_after(schedule: float | str, epoch: int, epochs: int) -> float:
    """How far the scores of an epoch count in the next one: ``linear`` is ``epoch / epochs``.

    Args:
        schedule: ``linear``, or tau itself.
        epoch: the one that gave the scores, from 0.
        epochs: of the whole training, at least 1.
    """
    return min(epoch / epochs, 1.0) if schedule == "linear" else float(schedule)


def residuals(
    logits: Tensor, target: Tensor, label_smoothing: float = 0.0, ignore_index: int = -100
) -> Tensor:
    """The gradient of each sample's cross-entropy by its logits, ``softmax(z) - target``.

    Args:
        logits: shape (B, C), of any precision.
        target: classes, int64 of shape (B,), or probabilities of shape (B, C).
        label_smoothing: share of the target that is spread evenly over the classes.
        ignore_index: samples of this class have residual 0.

    Returns:
        float32, or float64 for logits of that precision; shape (B, C), without gradient.

    Raises:
        ValueError: the shapes do not fit.
    """
    fits = target.shape in (logits.shape[:1], logits.shape)
    if logits.dim() != 2 or not fits or (target.dim() == 1 and target.is_floating_point()):
        raise ValueError(
            "needs logits of shape (B, C) and as target classes of shape (B,) or probabilities of "
            f"shape (B, C), got {tuple(logits.shape)} and {target.dtype} {tuple(target.shape)}"
        )
    # In bfloat16 small scores would be rounded to a few equal values.
    logits = logits.detach()
    logits = logits if logits.dtype == torch.float64 else logits.float()
    found = torch.softmax(logits, dim=1)
    if label_smoothing:
        found -= label_smoothing / logits.shape[1]
    if target.dim() == 2:
        return found - (1 - label_smoothing) * target
    ignored = target == ignore_index
    rows = torch.arange(len(target), device=target.device)
    found[rows, target.masked_fill(ignored, 0)] -= 1 - label_smoothing
    return found.masked_fill(ignored.unsqueeze(1), 0.0)


def logit_scores(
    logits: Tensor, target: Tensor, label_smoothing: float = 0.0, ignore_index: int = -100
) -> Tensor:
    """The norm of each sample's :func:`residuals`, in [0, sqrt(2)], shape (B,)."""
    by_logits = residuals(logits, target, label_smoothing, ignore_index)
    scores: Tensor = torch.linalg.vector_norm(by_logits, dim=1)
    return scores


def smoothed(scores: Tensor, tau: float) -> Tensor:
    """Probabilities in proportion to scores, mixed with the uniform ones.

    Equation:
        p_i = tau * s_i / sum of s + (1 - tau) / n

    Args:
        scores: at least 0, shape (..., n); along the last dimension at least one is above 0.
        tau: in [0, 1].

    Returns:
        float64, shape (..., n); each row adds up to 1.

    Raises:
        ValueError: there are no scores, or some are negative or no finite numbers.
    """
    wide = scores.double()
    wrong = int((~torch.isfinite(wide) | (wide < 0)).sum())
    if wrong or not scores.numel():
        raise ValueError(
            f"scores must be finite numbers of at least 0, {wrong} of {scores.numel()} are not"
        )
    return tau * wide / wide.sum(-1, keepdim=True) + (1 - tau) / scores.shape[-1]


def draw(probabilities: Tensor, num: int, generator: Generator) -> Tensor:
    """Indices drawn with replacement, int64 of shape (num,).

    Args:
        probabilities: float64 on the CPU, shape (n,), which add up to 1.
        num: how many.
        generator: where the random numbers come from, on the CPU.

    Raises:
        ValueError: the probabilities are none.
    """
    total = float(probabilities.sum())
    proper = bool(len(probabilities)) and bool((probabilities >= 0).all())
    if not proper or not math.isclose(total, 1.0, rel_tol=0, abs_tol=TOLERANCE):
        raise ValueError(
            f"{len(probabilities)} probabilities must be numbers of at least 0 that add up to 1, "
            f"got the sum {total!r}"
        )
    ends = probabilities.cumsum(0)
    numbers = torch.rand(num, dtype=torch.float64, generator=generator) * ends[-1]
    # The last index that can be drawn, should a product be rounded up to the sum.
    last = int(probabilities.nonzero()[-1])
    return torch.searchsorted(ends, numbers, right=True).clamp(max=last)


def trace_variance(squares: Tensor, mean_square: Tensor, probabilities: Tensor) -> Tensor:
    """The variance of a gradient that is estimated from one sample drawn, over all parameters.

    Equation:
        sum over i of ||g_i||^2 / (n^2 p_i) - ||g||^2, for the estimate g_i / (n p_i) with i ~ p

    Args:
        squares: ``||g_i||^2``, shape (n,).
        mean_square: ``||g||^2`` of the mean gradient, shape ().
        probabilities: shape (n,); above 0 wherever ``squares`` is.

    Returns:
        Shape ().
    """
    parts = torch.where(squares > 0, squares / probabilities, torch.zeros_like(squares))
    return parts.sum() / len(squares) ** 2 - mean_square


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of two vectors, shape (); 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    return functional.cosine_similarity(a, b, dim=0)
