"""What FedAdagrad, FedAdam and FedYogi share: steps that are divided by the root of a square."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Federation, Reduced, State
from trainwright_objectives.options import check_above_zero
from trainwright_strategies.aggregators.fedavg import FedAvg

Share = Annotated[float, Field(ge=0, lt=1)]


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
        check_decay(beta)
        self.beta = beta
        check_above_zero("tau", tau)
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
        update = reduced.mean[UPDATE]
        mean = self.beta * state["mean"] + (1 - self.beta) * update
        square = self.square(state["square"], update.square())
        step = self.server_lr * mean / (square.sqrt() + self.tau)
        return weights + step.to(weights.dtype), {"mean": mean, "square": square}


def check_decay(beta: float) -> None:
    """Refuse a share that does not fade.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= beta < 1:
        raise ValueError(f"betas must be at least 0 and below 1, got {beta!r}")
