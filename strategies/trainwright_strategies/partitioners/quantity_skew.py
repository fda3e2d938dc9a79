"""Clients of very different size, alike in everything else."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from trainwright.data.random import dirichlet, key, normal
from trainwright.federated import Indexed, Partitioner, Population
from trainwright_objectives.options import check_above_zero, check_at_least_zero, check_whole
from trainwright_strategies.dealing import Floats, shuffled, sizes_of


class QuantitySkew(Partitioner):
    """Give clients very different numbers of samples, drawn at random from all.

    Each client has ``min_samples``; what is left is divided by shares from a log-normal or a
    Dirichlet distribution.

    Equation:
        share_k = exp(sigma * z_k) / sum over clients of the same, z_k ~ N(0, 1); or
        (share_1, ..., share_K) ~ Dirichlet(alpha, ..., alpha)

    Args:
        sigma: of the log-normal distribution, at least 0; 0 makes sizes equal, and at 1 one client
            in six has more than 2.7 times what the middle one has. The default, 1, where ``alpha``
            is not given. Suggested: 1.
        alpha: of the Dirichlet distribution, above 0; instead of ``sigma``. Suggested: 0.5.
        min_samples: samples that every client has at least. Suggested: 10, or what a batch needs.

    Needs:
        ``federation.clients``.

    Measured:
        Nothing; a partition is no method.

    Source:
        With alpha: Q. Li, Y. Diao, Q. Chen, B. He, "Federated Learning on Non-IID Data Silos: An
        Experimental Study", ICDE 2022, arXiv 2102.02079 ("quantity skew"). With sigma: T. Li,
        A. K. Sahu, M. Zaheer, M. Sanjabi, A. Talwalkar, V. Smith, "Federated Optimization in
        Heterogeneous Networks", MLSys 2020, arXiv 1812.06127 (sizes of the synthetic data).

    Raises:
        ValueError: both distributions are given, or an option is out of range.
    """

    def __init__(
        self,
        sigma: Annotated[float, Field(ge=0)] | None = None,
        alpha: Annotated[float, Field(gt=0)] | None = None,
        min_samples: Annotated[int, Field(ge=1)] = 1,
    ) -> None:
        if sigma is not None and alpha is not None:
            raise ValueError("give sigma or alpha, not both")
        if alpha is not None:
            check_above_zero("alpha", alpha)
        self.sigma = 1.0 if sigma is None else sigma
        check_at_least_zero("sigma", self.sigma)
        check_whole("min_samples", min_samples)
        self.alpha = alpha
        self.min_samples = min_samples

    def __call__(self, population: Population) -> Indexed:
        """Divide."""
        num_clients = population.wanted_clients(self.min_samples)
        rest = population.num_samples - num_clients * self.min_samples
        sizes = self.min_samples + sizes_of(self._shares(num_clients, population.seed), rest)
        owners = np.empty(population.num_samples, dtype=np.int64)
        rows = shuffled(np.arange(population.num_samples), key(population.seed, "quantity_skew"))
        owners[rows] = np.repeat(np.arange(num_clients), sizes)
        return Indexed.of(owners, num_clients)

    def _shares(self, num_clients: int, seed: int) -> Floats:
        own = key(seed, "quantity_skew", "shares")
        if self.alpha is not None:
            alpha = torch.full((num_clients,), self.alpha)
            return np.asarray(dirichlet(own, torch.zeros(1, dtype=torch.int64), alpha)[0].numpy())
        logarithms = self.sigma * normal(own, torch.arange(num_clients)).to(torch.float64)
        return np.asarray(logarithms.softmax(dim=0).numpy())
