"""What privacy does to updates, in the places of a round where it does something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainwright.federated.privacy.adaptive import (
    AdaptiveClip,
    default_count_noise,
    update_noise,
)
from trainwright.federated.privacy.clipping import clipped
from trainwright.federated.privacy.noise import central_noise, count_noise, local_noise

if TYPE_CHECKING:
    from trainwright.federated.spec import PrivacySpec

PrivacyState = dict[str, float]
"""What privacy keeps from round to round: ``clip``."""


@dataclass(frozen=True)
class PrivacyPlan:
    """Clipping and noise of a federation; all methods are pure.

    One round::

        updates = plan.before_transforms(updates, clients, round, state)    # each client
        updates = decode(encode(updates))                                   # the transforms
        updates, within = plan.before_sum(updates, state)
        mean = plan.private_mean(sum of updates, round, state)              # if central_noise
        state = plan.next_state(state, clients arrived, sum of within, round)

    Attributes:
        clip: largest L2 norm of an update, in the first round.
        noise: standard deviation of the noise on updates, as a multiple of the clip.
        local: whether clients add it, each to its own update.
        cohort: expected number of updates in a round.
        seed: of the job.
        adaptive: how the clip moves; None: it stays.
    """

    clip: float
    noise: float
    local: bool
    cohort: int
    seed: int
    adaptive: AdaptiveClip | None = None

    @property
    def central_noise(self) -> bool:
        """Whether the server adds noise, for which it needs the plain sum of the updates."""
        return self.noise > 0 and not self.local

    def start(self) -> PrivacyState:
        """The state before the first round."""
        return {"clip": self.clip}

    def before_transforms(
        self, updates: Tensor, clients: Tensor, round: int, state: PrivacyState
    ) -> Tensor:
        """What clients do to their own updates (clients, d) before these are encoded.

        Args:
            updates: shape (clients, d), float32.
            clients: their numbers, int64, shape (clients,).
            round: from 0.
            state: the present one.
        """
        if not self.local:
            return updates
        std = self.noise * state["clip"]
        noise = local_noise(updates.shape[-1], std, self.seed, round, clients)
        return clipped(updates, state["clip"])[0] + noise

    def before_sum(self, updates: Tensor, state: PrivacyState) -> tuple[Tensor, Tensor]:
        """What is done to updates (..., d) right before they are summed, masked or stacked.

        Returns:
            The updates, and which of them were no longer than the clip, bool of shape (...).
        """
        if self.local:
            return updates, torch.ones(updates.shape[:-1], dtype=torch.bool)
        return clipped(updates, state["clip"])

    def private_mean(self, total: Tensor, round: int, state: PrivacyState) -> Tensor:
        """The mean of a round with central noise, float64 of shape (d,).

        The sum is divided by the expected number of updates, not by that of this round: otherwise
        a client that is left out would change the weight of all others.

        Args:
            total: sum of the clipped updates, each with weight 1, float64 of shape (d,).
            round: from 0.
            state: the present one.
        """
        std = self.noise * state["clip"]
        return (total + central_noise(len(total), std, self.seed, round)) / self.cohort

    def next_state(
        self, state: PrivacyState, num_arrived: int, num_within: int, round: int
    ) -> PrivacyState:
        """The state of the next round.

        Args:
            state: of this round.
            num_arrived: updates that were summed.
            num_within: those that were no longer than the clip.
            round: this one, from 0.
        """
        if self.adaptive is None:
            return state
        noise = count_noise(self.adaptive.count_noise, self.seed, round)
        return {"clip": self.adaptive.next(state["clip"], num_arrived, num_within, noise)}


def plan_of(spec: PrivacySpec, cohort: int, seed: int) -> PrivacyPlan | None:
    """The plan of a job whose rules hold; None where nothing is clipped.

    Args:
        spec: the section of the job.
        cohort: expected number of updates in a round.
        seed: of the job.
    """
    if spec.clip is None:
        return None
    local = spec.where == "local"
    if not spec.adaptive:
        return PrivacyPlan(spec.clip, spec.noise, local, cohort, seed)
    on_count = spec.count_noise
    if on_count is None:
        on_count = default_count_noise(spec.noise, cohort)
    adaptive = AdaptiveClip(spec.target_quantile, spec.clip_lr, on_count, cohort)
    noise = update_noise(spec.noise, on_count)
    return PrivacyPlan(spec.clip, noise, local, cohort, seed, adaptive)
