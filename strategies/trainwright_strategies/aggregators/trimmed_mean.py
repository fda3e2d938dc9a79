"""The mean of the clients' updates without the extreme ones, coordinate by coordinate."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Aggregator, Federation, Reduced, State
from trainwright_strategies.aggregators.order_statistics import inner_mean


class TrimmedMean(Aggregator):
    """Resist some clients that send anything: a mean without the extremes of each coordinate.

    Equation:
        w <- w + mean of what is left of the updates w_k - w, by elements, once the b smallest and
        the b largest values are cut off; b = floor(share * n) of n clients. All that is left
        counts alike.

    Args:
        share: of the clients whose values are cut off at either end, in [0, 0.5), at least the
            share of clients at fault; 0 is ``fedavg`` with ``weighting: uniform``, but for
            rounding. Suggested: 0.1.

    Needs:
        Each client's update at the server, (clients, d) float32 numbers, and so no masked sums.
        A cohort of at least 1 / share clients; fewer are refused, for nothing would be cut off.

    Measured:
        Digits, 20 clients, 10 of them in a round, MLP 64-64-10, SGD of rate 0.05, momentum 0.5 and
        weight decay 0.0005, batches of 20, 2 epochs, 40 rounds, 5 seeds, mean accuracy over the
        last 10 rounds, with 95 % intervals of the difference from ``fedavg``. Share 0.2, clients
        much alike (Dirichlet 100): 0.919 against 0.923 (-0.006 to -0.001); with two of the ten
        sending -10 times their update 0.908 against 0.099. Unlike clients (Dirichlet 0.3): 0.82
        against 0.91 (-0.15 to -0.04), with share 0.1 0.86; with the two 0.70 against 0.22. 100
        clients and 100 000 weights take 0.04 s on one core.

    Source:
        D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning:
        Towards Optimal Statistical Rates", ICML 2018, arXiv 1803.01498, Algorithm 1, option II,
        there for gradients; here for the updates of a whole round.

    Raises:
        ValueError: an option is out of range.
    """

    reduce = "stack"
    weighting = "uniform"

    def __init__(self, share: Annotated[float, Field(ge=0, lt=0.5)] = 0.1) -> None:
        if not 0 <= share < 0.5:
            raise ValueError(f"share must be at least 0 and below 0.5, got {share!r}")
        self.share = share

    def check(self, federation: Federation) -> None:
        """Refuse a cohort so small that nothing would be cut off."""
        if self.share and not self._cut(federation.cohort):
            raise ValueError(
                f"a share of {self.share:g} of {federation.cohort} clients is none at all: "
                f"nothing would be cut off; take larger cohorts, or a share of at least "
                f"{1 / federation.cohort:.3g}"
            )

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the mean of what is left."""
        mean = inner_mean(reduced.stack[UPDATE], self._cut(reduced.num_clients))
        return weights + mean.to(weights.dtype), state

    def _cut(self, clients: int) -> int:
        # 0.29 * 100 is 28.999999999999996.
        return int(self.share * clients + 1e-9)
