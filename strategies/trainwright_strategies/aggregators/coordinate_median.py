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
        Nothing yet.

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
