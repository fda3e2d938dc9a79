"""Orders of clients' samples: permutations, each client's by itself, evenly drawn."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from trainwright.data.random import bits, key
from trainwright.federated.clients.orders import client_orders


def rows_of(sizes: list[int]) -> list[Tensor]:
    return [torch.arange(size) * 7 + 1000 * client for client, size in enumerate(sizes)]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 2**31 - 100))
def test_a_client_has_the_same_order_whoever_is_asked_with_it(sizes: list[int], low: int) -> None:
    clients, rows = list(range(low, low + len(sizes))), rows_of(sizes)
    together = client_orders(3, 5, 7, clients, rows)
    for client, own, order in zip(clients, rows, together, strict=True):
        assert order.sort().values.equal(own)
        assert client_orders(3, 5, 7, [client], [own])[0].equal(order)
        ids = (client << 32) + torch.arange(len(own))
        assert own[bits(key(3, "order", 5, 7), ids).argsort()].equal(order)


def test_orders_differ_by_seed_round_epoch_and_client() -> None:
    rows = rows_of([30])
    places = [(0, 0, 0, 0), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)]
    orders = {tuple(client_orders(s, r, e, [c], rows)[0].tolist()) for s, r, e, c in places}
    assert len(orders) == len(places)


def test_every_place_gets_every_row_equally_often() -> None:
    clients, size = 4000, 5
    found = client_orders(0, 0, 0, list(range(clients)), [torch.arange(size)] * clients)
    table = np.stack([order.numpy() for order in found])
    counts = np.stack([np.bincount(table[:, place], minlength=size) for place in range(size)])
    expected = clients / size
    assert ((counts - expected) ** 2 / expected).sum() < 39.3  # chi-square, 16 degrees: 0.001
