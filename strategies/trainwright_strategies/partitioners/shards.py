"""Label skew by a few classes for each client."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from trainwright.data.random import bits, key
from trainwright.federated import Indexed, Partitioner, Population
from trainwright_objectives.options import check_whole
from trainwright_strategies.dealing import Ints, dealt, shuffled, sizes_of


class Shards(Partitioner):
    """Give each client a few classes: shards of the samples sorted by class.

    Samples are sorted by class and cut into ``clients * shards_per_client`` shards of equal size,
    of which each client gets ``shards_per_client`` at random: hardly more classes than shards,
    and equally many samples. Or, with ``classes_per_client``, each client has exactly so many
    classes, which are chosen so that all have about as many clients, and divided evenly among
    these.

    Args:
        shards_per_client: at least 1. Suggested: 2, as in the paper; the default where
            ``classes_per_client`` is not given.
        classes_per_client: from 1 to the number of classes; instead of ``shards_per_client``.
        column: of classes or groups; default: the target.

    Needs:
        ``federation.clients`` and a column of classes.

    Measured:
        Nothing; a partition is no method.

    Source:
        H. B. McMahan, E. Moore, D. Ramage, S. Hampson, B. Agüera y Arcas, "Communication-Efficient
        Learning of Deep Networks from Decentralized Data", AISTATS 2017, arXiv 1602.05629,
        section 3 ("pathological non-IID"). With classes_per_client: Q. Li, Y. Diao, Q. Chen,
        B. He, "Federated Learning on Non-IID Data Silos: An Experimental Study", ICDE 2022, arXiv
        2102.02079 ("#C = k"), whose clients choose classes without regard to the others.

    Raises:
        ValueError: both options are given, or one is out of range.
    """

    def __init__(
        self,
        shards_per_client: Annotated[int, Field(ge=1)] | None = None,
        classes_per_client: Annotated[int, Field(ge=1)] | None = None,
        column: str | None = None,
    ) -> None:
        if shards_per_client is not None and classes_per_client is not None:
            raise ValueError("give shards_per_client or classes_per_client, not both")
        for name, value in (
            ("shards_per_client", shards_per_client),
            ("classes_per_client", classes_per_client),
        ):
            if value is not None:
                check_whole(name, value)
        self.shards_per_client = 2 if shards_per_client is None else shards_per_client
        self.classes_per_client = classes_per_client
        self.column = column

    def __call__(self, population: Population) -> Indexed:
        """Divide."""
        labels = population.classes(self.column)
        if self.classes_per_client is not None:
            num_clients = population.wanted_clients()
            counts = _evenly(labels, num_clients, self.classes_per_client, population.seed)
            owners = dealt(labels, counts, key(population.seed, "shards", "rows"))
        else:
            num_clients = population.wanted_clients(self.shards_per_client)
            owners = self._by_shards(labels, num_clients, population.seed)
        return Indexed.of(owners, num_clients)

    def _by_shards(self, labels: Ints, num_clients: int, seed: int) -> Ints:
        num_shards = num_clients * self.shards_per_client
        rows = shuffled(np.arange(len(labels)), key(seed, "shards", "rows"))
        by_class = rows[np.argsort(labels[rows], kind="stable")]
        owner = np.empty(num_shards, dtype=np.int64)
        drawn = shuffled(np.arange(num_shards), key(seed, "shards", "owners"))
        owner[drawn] = np.arange(num_shards) // self.shards_per_client
        owners = np.empty_like(rows)
        owners[by_class] = owner[np.arange(len(rows)) * num_shards // len(rows)]
        return owners


def _evenly(labels: Ints, num_clients: int, classes_per_client: int, seed: int) -> Ints:
    """Rows of each class that each client gets, (classes, clients).

    Raises:
        ValueError: clients are to have more classes than there are, not all classes would be
            given away, or one has fewer samples than clients.
    """
    sizes = np.bincount(labels)
    if classes_per_client > len(sizes):
        raise ValueError(
            f"there are {len(sizes)} classes, and classes_per_client is {classes_per_client}: "
            f"use at most {len(sizes)}"
        )
    if num_clients * classes_per_client < len(sizes):
        raise ValueError(
            f"{num_clients} clients with {classes_per_client} of {len(sizes)} classes each leave "
            f"classes to nobody: use at least {-(-len(sizes) // num_clients)} classes_per_"
            "client, or more clients"
        )
    owns = _chosen(len(sizes), num_clients, classes_per_client, seed)
    num_owners = owns.sum(axis=1)
    short = np.flatnonzero(num_owners > sizes)
    if len(short):
        raise ValueError(
            f"class {short[0]} has {sizes[short[0]]} samples for {num_owners[short[0]]} clients: "
            "use fewer clients, or a smaller classes_per_client"
        )
    counts = np.zeros(owns.shape, dtype=np.int64)
    for label, owners in enumerate(owns):
        even = np.full(num_owners[label], 1 / num_owners[label])
        counts[label, owners] = sizes_of(even, int(sizes[label]))
    return counts


def _chosen(
    num_classes: int, num_clients: int, each: int, seed: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which class goes to which client, (classes, clients): first those that fewest have."""
    ranks = bits(key(seed, "shards", "classes"), torch.arange(num_clients), (num_classes,)).numpy()
    owns = np.zeros((num_classes, num_clients), dtype=np.bool_)
    num_owners = np.zeros(num_classes, dtype=np.int64)
    for client in range(num_clients):
        chosen = np.lexsort((ranks[client], num_owners))[:each]
        owns[chosen, client] = True
        num_owners[chosen] += 1
    return owns
