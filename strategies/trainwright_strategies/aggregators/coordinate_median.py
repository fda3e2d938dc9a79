"""The median of the clients' updates, coordinate by coordinate."""

from __future__ import annotations

from torch import Tensor

from trainwright.federated import UPDATE, Aggregator, Reduced, State
from trainwright_strategies.aggregators.order_statistics import inner_mean


class CoordinateMedian(Aggregator):
    """Resist clients that send anything: the median of the updates in each coordinate.

    Equation:
        w <- w + med_k(w_k - w), by elements, over the clients k of a round; of an even number the
        mean of the middle two. All clients count alike.

    Needs:
        Each client's update at the server, (clients, d) float32 numbers, and so no masked sums.
        Fewer than half of the clients may be at fault. Where clients differ in their data the
        median is no mean: what only a minority of clients needs is not learnt.

    Measured:
        Digits, 20 clients, 10 of them in a round, MLP 64-64-10, SGD of rate 0.05, momentum 0.5 and
        weight decay 0.0005, batches of 20, 2 epochs, 40 rounds, 5 seeds, mean accuracy over the
        last 10 rounds, with 95 % intervals of the difference from ``fedavg``. Clients much alike
        (Dirichlet 100): 0.919 against 0.923 (-0.006 to -0.001); with two of the ten sending -10
        times their update 0.910 against 0.099. Unlike clients (Dirichlet 0.3): 0.73 against 0.91
        (-0.22 to -0.15); with the two 0.62 against 0.22. A median of 100 clients and 100 000
        weights takes 0.04 s on one core.

    Source:
        D. Yin, Y. Chen, K. Ramchandran, P. Bartlett, "Byzantine-Robust Distributed Learning:
        Towards Optimal Statistical Rates", ICML 2018, arXiv 1803.01498, Algorithm 1, option I,
        there for gradients; here for the updates of a whole round.
    """

    reduce = "stack"
    weighting = "uniform"

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the median."""
        median = inner_mean(reduced.stack[UPDATE], (reduced.num_clients - 1) // 2)
        return weights + median.to(weights.dtype), state
