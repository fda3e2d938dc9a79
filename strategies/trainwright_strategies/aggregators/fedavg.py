"""Federated averaging: the server moves by the weighted mean of the clients' updates."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Aggregator, Reduced, State
from trainwright_objectives.options import check_above_zero


class FedAvg(Aggregator):
    """Average what clients have learnt: federated averaging, FedAvg.

    Equation:
        w <- w + server_lr * sum_k p_k * (w_k - w) over the clients k of a round, where w_k are
        the client's weights after its local steps, and p_k = n_k / sum of n_j by its number of
        samples n_k, or 1 / number of clients.

    Args:
        weighting: by what clients count: ``samples``, the number they have, as in the paper;
            ``uniform``: all alike, which favours the samples of small clients.
        server_lr: factor of the mean update, above 0; 1 is the paper's method, the mean of the
            clients' weights. Suggested: 1.

    Needs:
        Nothing. Only the sum of the updates reaches the server, so it can be masked, clipped and
        noised.

    Measured:
        It is the baseline of all others. Its own options, on digits, 20 clients by Dirichlet 0.3,
        10 of them in a round, MLP 64-64-10, SGD of rate 0.05, momentum 0.5 and weight decay 0.0005,
        batches of 20, 2 epochs, 40 rounds, 5 seeds, mean accuracy over the last 10 rounds, 0.910,
        with 95 % intervals of the difference from it: ``uniform`` -0.011 (-0.021 to -0.001);
        server_lr 2 +0.020 (0.010 to 0.030); at server_lr 5 it does not train (0.14).

    Source:
        B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Aguera y Arcas, "Communication-Efficient
        Learning of Deep Networks from Decentralized Data", AISTATS 2017, arXiv 1602.05629.
        ``server_lr`` is from S. Reddi et al., "Adaptive Federated Optimization", ICLR 2021,
        arXiv 2003.00295, where the server's optimizer is SGD.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        weighting: Literal["samples", "uniform"] = "samples",
        server_lr: Annotated[float, Field(gt=0)] = 1.0,
    ) -> None:
        if weighting not in ("samples", "uniform"):
            raise ValueError(f"weighting must be samples or uniform, got {weighting!r}")
        check_above_zero("server_lr", server_lr)
        self.weighting = weighting
        self.server_lr = server_lr

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the mean update."""
        return weights + (self.server_lr * reduced.mean[UPDATE]).to(weights.dtype), state
