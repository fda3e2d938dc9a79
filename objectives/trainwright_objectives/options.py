"""Options that many losses and strategies have, and how they are refused."""

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


def check_whole(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no whole number of at least ``least``.

    Args:
        name: of the option, for the message.
        value: of the option; ``True`` is no number.
        least: the smallest that is allowed.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
