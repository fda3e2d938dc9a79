"""Whether an acyclic graph is a stationary point: edges that close no cycle must not help."""

from __future__ import annotations

from torch import Tensor


def kkt_violations(
    walks: Tensor, slope: Tensor, least_walks: float = 1e-6, least_slope: float = 1e-6
) -> int:
    """Edges that would close no cycle, and along which the score still falls.

    Args:
        walks: gradient of acyclicity, shape (d, d).
        slope: of the score, :func:`trainwright_objectives.sem_scores.steepest`, shape (d, d).
        least_walks: what is not above it counts as no cycle.
        least_slope: what is not above it counts as level.
    """
    return int(((walks <= least_walks) & (slope.abs() > least_slope)).sum())
