"""Sums over labels that are divided among the workers, each of which has the scores of a part."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

Gather = Callable[[Tensor], Tensor]
"""Gives the rows of all workers in rank order; its gradient is that of the mean of their losses."""


def over_workers(part: Tensor, gather: Gather | None) -> Tensor:
    """What each worker found for its labels, shape (workers, ...); its own alone without others."""
    return part[None] if gather is None else gather(part[None])


def log_sum_exp(scores: Tensor, gather: Gather | None = None) -> Tensor:
    """The logarithm of the sum of exp over all labels; minus infinity without gradient for none.

    Args:
        scores: of this worker's labels, shape (B, L); minus infinity where one does not count.
        gather: where every worker has scores of other labels.

    Returns:
        Shape (B, 1).
    """
    own = _finite_log_sum_exp(scores, 1)
    return own if gather is None else _finite_log_sum_exp(over_workers(own, gather), 0)[0]


def _finite_log_sum_exp(scores: Tensor, dim: int) -> Tensor:
    none = (scores == -math.inf).all(dim=dim, keepdim=True)
    some = scores.masked_fill(none, 0.0)
    return some.logsumexp(dim=dim, keepdim=True).masked_fill(none, -math.inf)
