"""Every client's samples are a random part of all."""

from __future__ import annotations

import numpy as np

from trainwright.data.random import key
from trainwright.federated import Indexed, Partitioner, Population
from trainwright_strategies.dealing import shuffled


class Iid(Partitioner):
    """Deal the samples out at random, equally many to each client.

    Clients differ by one sample at most. The reference for all other partitions: clients differ
    by chance alone.

    Needs:
        ``federation.clients``, at most as many as there are samples.

    Measured:
        Nothing; a partition is no method.

    Source:
        H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient
        Learning of Deep Networks from Decentralized Data", AISTATS 2017, arXiv 1602.05629,
        section 3 ("IID").
    """

    def __call__(self, population: Population) -> Indexed:
        """Divide."""
        num_clients, num_samples = population.wanted_clients(), population.num_samples
        places = np.arange(num_samples)
        owners = np.empty_like(places)
        owners[shuffled(places, key(population.seed, "iid"))] = places * num_clients // num_samples
        return Indexed.of(owners, num_clients)
