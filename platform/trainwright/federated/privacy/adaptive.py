"""A clip that follows a quantile of the updates' norms, privately.

G. Andrew, O. Thakkar, H. B. McMahan, S. Ramaswamy, "Differentially Private Learning with Adaptive
Clipping", NeurIPS 2021, arXiv 1905.03871.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEAST_SHARE = 1.2
"""Noise on the count over the noise multiplier, at which that on updates grows by a tenth."""


def default_count_noise(noise: float, cohort: int) -> float:
    """Standard deviation of the noise on the count: a twentieth of the cohort, as in the paper.

    In small cohorts that would leave nothing of the budget for the updates; there it is so large
    that their noise grows by a tenth.

    Args:
        noise: the noise multiplier of a round as a whole, above 0.
        cohort: expected number of updates in a round.
    """
    return max(cohort / 20, LEAST_SHARE * noise)


def update_noise(noise: float, count_noise: float) -> float:
    """The noise multiplier of the updates, for that of updates and count together.

    Both are Gaussian mechanisms on the same clients. The count is a sum of 1/2 and -1/2, which one
    client moves by 1/2, so 1 / noise^2 = 1 / update_noise^2 + 1 / (2 * count_noise)^2.

    Args:
        noise: of a round as a whole, above 0.
        count_noise: standard deviation of the noise on the count.

    Raises:
        ValueError: the count alone spends as much or more.
    """
    if 2 * count_noise <= noise:
        raise ValueError(
            f"count_noise must be above half of the noise, {noise / 2:g}, got {count_noise!r}"
        )
    return float((noise**-2 - (2 * count_noise) ** -2) ** -0.5)


@dataclass(frozen=True)
class AdaptiveClip:
    """How the clip follows the updates.

    Attributes:
        target_quantile: share of the updates that shall be no longer than the clip.
        lr: how fast it follows: by at most the factor exp(lr) in a round, but for the noise.
        count_noise: standard deviation of the noise on the count.
        cohort: expected number of updates in a round.
    """

    target_quantile: float
    lr: float
    count_noise: float
    cohort: int

    def next(self, clip: float, num_arrived: int, num_within: int, noise: float) -> float:
        """The clip of the next round.

        Args:
            clip: of this round.
            num_arrived: updates of this round.
            num_within: those that were no longer than the clip.
            noise: what is added to the count, of standard deviation ``count_noise``.
        """
        # Halves are subtracted from each, and given back for the expected number: so one client
        # moves the count by 1/2, whether it is there or not.
        share = (num_within - num_arrived / 2 + noise) / self.cohort + 1 / 2
        return clip * math.exp(-self.lr * (share - self.target_quantile))
