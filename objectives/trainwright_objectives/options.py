"""Options that many losses have, and how they are refused."""

from __future__ import annotations

import math
from typing import Literal, get_args

from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


def check_reduction(reduction: str) -> None:
    """Refuse what is no reduction.

    Raises:
        ValueError: it is none of ``mean``, ``sum``, ``none``.
    """
    if reduction not in get_args(Reduction):
        raise ValueError(f"reduction must be mean, sum or none, got {reduction!r}")


def reduced(losses: Tensor, reduction: str) -> Tensor:
    """The mean or the sum of the losses of single samples, or as they are."""
    if reduction == "none":
        return losses
    return losses.mean() if reduction == "mean" else losses.sum()


def check_above_zero(name: str, value: float) -> None:
    """Refuse what is no finite number above 0.

    Args:
        name: of the option, for the message.
        value: of the option.

    Raises:
        ValueError: it is none.
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a number above 0, got {value!r}")


def check_at_least_zero(name: str, value: float) -> None:
    """Refuse what is no finite number of at least 0.

    Args:
        name: of the option, for the message.
        value: of the option.

    Raises:
        ValueError: it is none.
    """
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} must be a number of at least 0, got {value!r}")
