"""What FedAdagrad, FedAdam and FedYogi share: steps that are divided by the root of a square."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor

from trainwright.federated import Federation, Reduced, State
from trainwright_strategies.aggregators.fedavg import FedAvg


class Adaptive(FedAvg, ABC):
    """Move by the running mean of the update over the root of a running square.

    Squares are kept in float64: that of a large float32 number is no float32 number.

    Args:
        server_lr: length of a step in units of the weights, above 0.
        beta: share of the running mean that stays in a round, in [0, 1).
        tau: added to the root, above 0; the square starts at tau^2.
        weighting: by what clients count.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self, server_lr: float, beta: float, tau: float, weighting: Literal["samples", "uniform"]
    ) -> None:
        super().__init__(weighting, server_lr)
        self.beta = decay(beta)
        if not 0 < tau < float("inf"):
            raise ValueError(f"tau must be above 0 and finite, got {tau!r}")
        self.tau = tau

    @abstractmethod
    def square(self, kept: Tensor, new: Tensor) -> Tensor:
        """The running square after a round.

        Args:
            kept: before it, shape (d,), float64.
            new: the square of the round's mean update.
        """

    def start(self, federation: Federation) -> State:
        """A mean of 0 and a square of tau^2, as in the paper."""
        mean = torch.zeros(federation.layout.size, dtype=torch.float64)
        return {"mean": mean, "square": torch.full_like(mean, self.tau**2)}

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move."""
        update = reduced.mean["update"]
        mean = self.beta * state["mean"] + (1 - self.beta) * update
        square = self.square(state["square"], update.square())
        step = self.server_lr * mean / (square.sqrt() + self.tau)
        return weights + step.to(weights.dtype), {"mean": mean, "square": square}


def decay(beta: float) -> float:
    """The share itself.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"betas must be at least 0 and below 1, got {beta!r}")
    return beta
