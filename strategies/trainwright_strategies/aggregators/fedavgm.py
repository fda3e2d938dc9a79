"""Federated averaging with momentum at the server."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Federation, Reduced, State
from trainwright_strategies.aggregators.fedavg import FedAvg


class FedAvgM(FedAvg):
    """Carry the direction of earlier rounds on: server momentum, FedAvgM.

    Equation:
        v <- momentum * v + u, w <- w + server_lr * v, where u is the mean update of ``fedavg``
        and v starts at 0; with ``nesterov`` w <- w + server_lr * (u + momentum * v).

    Args:
        momentum: share of v that is carried on, in [0, 1); 0 is ``fedavg``, bit for bit. A steady
            update is taken 1 / (1 - momentum) times. Suggested: 0.9.
        server_lr: factor of the step, above 0. Suggested: 1, or 1 - momentum for steps as long as
            those of ``fedavg``.
        nesterov: look ahead by one round, as in the paper's experiments.
        weighting: by what clients count: ``samples``, the number they have, as in the paper, or
            ``uniform``.

    Needs:
        The vector v, once at the server. Only the sum of the updates reaches the server, so it
        can be masked, clipped and noised.

    Measured:
        Nothing yet.

    Source:
        T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the Effects of Non-Identical Data Distribution
        for Federated Visual Classification", 2019, arXiv 1909.06335. ``server_lr`` is from
        S. Reddi et al., "Adaptive Federated Optimization", ICLR 2021, arXiv 2003.00295.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        server_lr: Annotated[float, Field(gt=0)] = 1.0,
        nesterov: bool = False,
        weighting: Literal["samples", "uniform"] = "samples",
    ) -> None:
        super().__init__(weighting, server_lr)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1, got {momentum!r}")
        self.momentum = momentum
        self.nesterov = nesterov

    def start(self, federation: Federation) -> State:
        """No velocity."""
        return {"velocity": torch.zeros(federation.layout.size, dtype=torch.float64)}

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the velocity."""
        update = reduced.mean[UPDATE]
        velocity = self.momentum * state["velocity"] + update
        step = update + self.momentum * velocity if self.nesterov else velocity
        return weights + (self.server_lr * step).to(weights.dtype), {"velocity": velocity}
