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
        server_lr: factor of the step, above 0; 1 - momentum gives steps as long as those of
            ``fedavg``. Suggested: 1, less where training is unstable.
        nesterov: look ahead by one round, as in the paper's experiments.
        weighting: by what clients count: ``samples``, the number they have, as in the paper, or
            ``uniform``.

    Needs:
        The vector v, once at the server. Only the sum of the updates reaches the server, so it
        can be masked, clipped and noised.

    Measured:
        Digits, 20 clients by Dirichlet 0.3, 10 of them in a round, MLP 64-64-10, SGD of rate 0.05,
        momentum 0.5 and weight decay 0.0005, batches of 20, 2 epochs, 5 seeds, against ``fedavg``
        with the same seeds (0.67 after 10 rounds, 0.93 after 40), 95 % intervals: at momentum 0.9
        and server_lr 1 accuracy after 10 rounds +0.13 (0.00 to 0.26), after 40 +0.024 (0.016 to
        0.032); at 0.5 +0.13 (0.10 to 0.16) and +0.020 (0.006 to 0.034). At 0.9 with server_lr 0.1,
        steps as long as those of ``fedavg``, -0.29 (-0.41 to -0.16) and -0.036 (-0.067 to -0.004):
        the gain is one of longer steps, of which ``fedavg`` at server_lr 2 has a part.

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
