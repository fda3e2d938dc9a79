"""Adam at the server of a federation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from trainwright_strategies.aggregators.adaptive import Adaptive, Share, check_decay


class FedAdam(Adaptive):
    """Steps of about equal length for all weights: Adam at the server, FedAdam.

    Equation:
        m <- beta_1 m + (1 - beta_1) u, v <- beta_2 v + (1 - beta_2) u^2,
        w <- w + server_lr * m / (sqrt(v) + tau), by elements, where u is the mean update of
        ``fedavg``, m starts at 0 and v at tau^2. There is no correction of the bias.

    Args:
        server_lr: about how far a weight moves in a round, above 0. Suggested: 0.01 to 0.1.
        betas: shares of m and v that stay in a round, in [0, 1). Suggested: 0.9 and 0.99.
        tau: above 0; weights whose updates are far below it move in proportion to them, as by
            ``fedavg`` at a rate of server_lr / (2 tau), and later, when v has forgotten its start,
            of server_lr / tau. Suggested: 0.001.
        weighting: by what clients count: ``samples``, the number they have, or ``uniform``, as in
            the paper's Algorithm 2.

    Needs:
        Two vectors in float64 at the server. Only the sum of the updates reaches the server, so
        it can be masked, clipped and noised.

    Measured:
        Digits, 20 clients by Dirichlet 0.3, 10 of them in a round, MLP 64-64-10, SGD of rate 0.05,
        momentum 0.5 and weight decay 0.0005, batches of 20, 2 epochs, 5 seeds, against ``fedavg``
        with the same seeds (0.67 after 10 rounds, 0.93 after 40), 95 % intervals: at server_lr 0.1
        accuracy after 10 rounds +0.21 (0.12 to 0.29), after 40 +0.041 (0.021 to 0.060); at 0.03
        +0.14 (-0.01 to 0.29) and +0.027 (0.022 to 0.032); at 0.01 -0.04 (-0.13 to 0.05) and +0.014
        (-0.008 to 0.036).

    Source:
        S. Reddi, Z. Charles, M. Zaheer, Z. Garrett, K. Rush, J. Konecny, S. Kumar, H. B. McMahan,
        "Adaptive Federated Optimization", ICLR 2021, arXiv 2003.00295, Algorithm 2. Known code
        differs: the authors' takes the Adam of Keras, which corrects the bias of m and v, with v
        from 0; Flower's starts v at 0, with tau 1e-9.

    Raises:
        ValueError: an option is out of range.
    """

    def __init__(
        self,
        server_lr: Annotated[float, Field(gt=0)] = 0.03,
        betas: tuple[Share, Share] = (0.9, 0.99),
        tau: Annotated[float, Field(gt=0)] = 1e-3,
        weighting: Literal["samples", "uniform"] = "samples",
    ) -> None:
        super().__init__(server_lr, betas[0], tau, weighting)
        check_decay(betas[1])
        self.beta_2 = betas[1]

    def square(self, kept: Tensor, new: Tensor) -> Tensor:
        """A running mean."""
        return self.beta_2 * kept + (1 - self.beta_2) * new
