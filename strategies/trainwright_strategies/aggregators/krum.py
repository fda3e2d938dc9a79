"""The clients' updates that are closest to most others."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from trainwright.federated import UPDATE, Aggregator, Federation, Reduced, State
from trainwright_objectives.options import check_whole


def squared_distances(stack: Tensor) -> Tensor:
    """Between all rows of a matrix (clients, d): shape (clients, clients), float64, at least 0.

    Pairs do not depend on other rows, so that one huge row leaves all others as they are.
    """
    products = torch.zeros(len(stack), len(stack), dtype=torch.float64)
    # In blocks: a float64 copy of the whole would be twice the size of what clients sent.
    for block in torch.split(stack, 2**16, dim=1):
        products += block.double() @ block.double().T
    norms = products.diagonal()
    return (norms[:, None] + norms - 2 * products).clamp(min=0)


def krum_scores(distances: Tensor, num_byzantine: int) -> Tensor:
    """The sum over the n - f - 2 nearest others of each row's squared distances, shape (n,)."""
    others = distances.clone().fill_diagonal_(float("inf"))
    nearest = others.sort(dim=1).values[:, : len(distances) - num_byzantine - 2]
    return nearest.sum(dim=1)


class Krum(Aggregator):
    """Resist clients that send anything: take the update closest to most others, Krum.

    Equation:
        s_k = sum of ||u_k - u_j||^2 over the n - f - 2 clients j whose updates u_j are nearest to
        u_k, of n clients, f of them at fault; w <- w + mean of the updates of the ``selected``
        clients with the smallest s_k. Of equal ones the client of the lower number comes first.

    Args:
        num_byzantine: most clients of a round that may be at fault, f, at least 0.
        selected: updates that are averaged, at least 1: Krum; more are multi-Krum, which learns
            faster, for it uses more clients. At most the cohort - f - 2.

    Needs:
        Each client's update at the server, (clients, d) float32 numbers, and so no masked sums; a
        cohort of at least 2 f + 3, and fewer are refused. If fewer answer, the round changes
        nothing, for their majority might be at fault; set ``sampling.min_clients`` to 2 f + 3 for
        such rounds to be counted. If only ``selected`` is too large for them, n - f - 2 are
        averaged. Clients that differ in their data are mistaken for faulty ones.

    Measured:
        Digits, 20 clients, 10 of them in a round, MLP 64-64-10, SGD of rate 0.05, momentum 0.5 and
        weight decay 0.0005, batches of 20, 2 epochs, 40 rounds, 5 seeds, mean accuracy over the
        last 10 rounds, with 95 % intervals of the difference from ``fedavg``. num_byzantine 2, one
        and six selected. Clients much alike (Dirichlet 100): 0.896 and 0.919 against 0.923 (-0.032
        to -0.021 and -0.006 to -0.002); with two of the ten sending -10 times their update 0.906
        and 0.922 against 0.099. Unlike clients (Dirichlet 0.3): 0.48 and 0.73 against 0.91 (-0.55
        to -0.32 and -0.26 to -0.10); with the two 0.51 and 0.77 against 0.22. Distances of 100
        clients and 100 000 weights take 0.23 s on one core.

    Source:
        P. Blanchard, E. M. El Mhamdi, R. Guerraoui, J. Stainer, "Machine Learning with
        Adversaries: Byzantine Tolerant Gradient Descent", NeurIPS 2017, arXiv 1703.02757, there
        for gradients; here for the updates of a whole round. That multi-Krum holds for up to
        n - f - 2 is from E. M. El Mhamdi, R. Guerraoui, S. Rouault, "Fast and Robust Distributed
        Learning in High Dimension", 2019, arXiv 1905.04374.

    Raises:
        ValueError: an option is out of range.
    """

    reduce = "stack"
    weighting = "uniform"

    def __init__(
        self,
        num_byzantine: Annotated[int, Field(ge=0)],
        selected: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        check_whole("num_byzantine", num_byzantine, least=0)
        check_whole("selected", selected)
        self.num_byzantine = num_byzantine
        self.selected = selected

    def check(self, federation: Federation) -> None:
        """Refuse cohorts in which clients at fault cannot be told from others."""
        needed = 2 * self.num_byzantine + 3
        if federation.cohort < needed:
            raise ValueError(
                f"with {self.num_byzantine} clients at fault a cohort must have at least "
                f"2 * {self.num_byzantine} + 3 = {needed} clients, got {federation.cohort}"
            )
        most = federation.cohort - self.num_byzantine - 2
        if self.selected > most:
            raise ValueError(
                f"of {federation.cohort} clients with {self.num_byzantine} at fault at most {most} "
                f"updates can be selected, got {self.selected}"
            )

    def server(self, weights: Tensor, reduced: Reduced, state: State) -> tuple[Tensor, State]:
        """Move along the mean of the selected updates, or not at all if too few arrived."""
        updates, clients = reduced.stack[UPDATE], reduced.num_clients
        if clients < 2 * self.num_byzantine + 3:
            return weights, state
        scores = krum_scores(squared_distances(updates), self.num_byzantine)
        most = min(self.selected, clients - self.num_byzantine - 2)
        chosen = scores.argsort(stable=True)[:most]
        return weights + updates[chosen].double().mean(dim=0).to(weights.dtype), state
