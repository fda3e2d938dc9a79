"""Clients whose rows are drawn when they are asked for: populations without a list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainwright.data.random import dirichlet, first_distinct, key, uniform64
from trainwright.federated.partition import Floats, Indexed, Ints, Partition


class Drawn(Partition):
    """Each client draws its own different rows: a pure function of seed and its number.

    Two clients may have a row in common. Nothing is kept for a client, so that a population of a
    thousand million is as cheap as one of ten.

    Attributes:
        pools: the rows to draw from, class by class; one pool where classes do not matter.
        samples: rows that a client has, (fewest, most); every number between is equally likely.
        alpha: a client's mix of pools is drawn from a Dirichlet distribution of this
            concentration around the pools' shares of all rows; None: the pools are one.
    """

    def __init__(
        self,
        num_clients: int,
        seed: int,
        pools: Indexed,
        samples: tuple[int, int],
        alpha: float | None = None,
    ) -> None:
        """Define the clients.

        Raises:
            ValueError: a client would need more rows than there are.
        """
        if alpha is None and pools.num_clients != 1:
            raise ValueError(f"{pools.num_clients} pools need alpha, by which clients mix them")
        fewest, most = samples
        if not 1 <= fewest <= most:
            raise ValueError(f"clients have 1 sample or more, fewest first, got {list(samples)}")
        self.pools = pools
        self.samples = (fewest, most)
        self.alpha = alpha
        self._seed = seed
        self._num_clients = num_clients
        self._pool_sizes = np.diff(pools.bounds)
        smallest = int(self._pool_sizes.argmin())
        if most > self._pool_sizes[smallest]:
            there = "the training table" if alpha is None else f"class {smallest}"
            raise ValueError(
                f"a client may draw {most} samples, and {there} has {self._pool_sizes[smallest]}: "
                f"let clients draw at most {self._pool_sizes[smallest]}"
            )

    @property
    def num_clients(self) -> int:
        """How many clients there are."""
        return self._num_clients

    def sizes(self, clients: Ints) -> Ints:
        """How many rows each of some clients has."""
        fewest, most = self.samples
        if fewest == most:
            return np.full(len(clients), fewest, dtype=np.int64)
        numbers = uniform64(self._key("size"), torch.from_numpy(clients)).numpy()
        sizes: Ints = fewest + np.floor(numbers * (most - fewest + 1)).astype(np.int64)
        return sizes

    def rows(self, client: int) -> Tensor:
        """The rows of a client in the training table, int64, ascending."""
        return self.rows_of(np.array([client]))[0]

    def rows_of(self, clients: Ints) -> list[Tensor]:
        """:meth:`rows` of some clients; their random numbers are made together."""
        ids, sizes = torch.from_numpy(clients), self.sizes(clients)
        numbers = uniform64(self._key("rows"), ids, (2 * int(sizes.max(initial=0)),)).numpy()
        return [
            self._drawn(ids[place : place + 1], int(sizes[place]), numbers[place], mix)
            for place, mix in enumerate(self._mixes(ids))
        ]

    def _drawn(self, client: Tensor, size: int, numbers: Floats, mix: Floats) -> Tensor:
        """The rows of one client.

        Args:
            client: its number, shape (1,).
            size: how many.
            numbers: its first random numbers; if they do not suffice, it gets more.
            mix: shares of the pools in what it draws.
        """
        ends = mix.cumsum()
        starts, last = ends - mix, self._pool_sizes - 1

        def stream(places: int) -> list[int]:
            known = numbers[:places]
            if len(known) < places:
                known = uniform64(self._key("rows"), client, (places,))[0].numpy()
            pools = np.searchsorted(ends[:-1], known, side="right")
            within = (known - starts[pools]) / mix[pools] * self._pool_sizes[pools]
            inside = np.clip(within.astype(np.int64), 0, last[pools])
            drawn: list[int] = (self.pools.bounds[pools] + inside).tolist()
            return drawn

        places = first_distinct(stream, size)
        return torch.from_numpy(np.sort(self.pools.indices.numpy()[places]))

    def _mixes(self, clients: Tensor) -> Floats:
        """Shares of the pools in what each client draws, (clients, pools)."""
        if self.alpha is None:
            return np.ones((len(clients), 1))
        return np.asarray(dirichlet(self._key("mix"), clients, self._concentration).numpy())

    @cached_property
    def _concentration(self) -> Tensor:
        sizes = torch.from_numpy(self._pool_sizes)
        return float(self.alpha or 0) * len(sizes) * sizes / sizes.sum()

    def _key(self, purpose: str) -> int:
        return key(self._seed, "drawn", purpose)

    def in_proportion(self, numbers: Floats) -> Ints:
        """Clients drawn in proportion to their rows; -1 where a draw is to be passed over."""
        clients = np.floor(numbers[:, 0] * self.num_clients).astype(np.int64)
        return np.where(numbers[:, 1] * self.samples[1] < self.sizes(clients), clients, -1)

    def description(self) -> Mapping[str, Any]:
        """What the rows are a function of."""
        return {
            "seed": self._seed,
            "samples": list(self.samples),
            "alpha": self.alpha,
            "pools": self.pools.digest(),
        }

    def digest(self) -> str:
        """Hash of which rows belong to whom: 32 hexadecimal digits."""
        text = json.dumps([self.num_clients, self.description()], sort_keys=True)
        return hashlib.sha256(f"drawn|{text}".encode()).hexdigest()[:32]
