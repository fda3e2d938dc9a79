"""What clients that train side by side see of their samples."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated.clients.batch_plan import BatchPlan

CLIENTS = st.lists(st.tuples(st.integers(1, 13), st.integers(1, 9)), min_size=1, max_size=6)
"""(samples, updates) of each."""


@given(CLIENTS, st.integers(1, 6))
def test_each_client_sees_its_samples_in_its_epochs_orders(clients, batch_size) -> None:
    clients.sort(key=lambda client: -client[1])
    orders, expected, row = [], [], 0
    for size, steps in clients:
        own, cuts, epochs = np.arange(row, row + size), [], []
        for epoch in range(steps):  # more than enough
            order = np.random.default_rng([row, epoch]).permutation(own)
            cuts += [order[i : i + batch_size].tolist() for i in range(0, size, batch_size)]
            epochs.append(order)
        used = -(-steps // -(-size // batch_size))
        orders.append(np.concatenate(epochs[:used]))
        expected.append(cuts[:steps])
        row += size
    sizes, steps = np.array(clients).T
    plan = BatchPlan.of(orders, sizes, steps, batch_size)
    assert plan.steps.tolist() == steps.tolist()
    for client, batches in enumerate(expected):
        in_epoch = -(-sizes[client] // batch_size)
        for step, batch in enumerate(batches):
            weights, rows = plan.weights[step, client], plan.rows[step, client]
            assert rows[weights > 0].tolist() == batch
            assert np.allclose(weights[weights > 0], len(weights) / len(batch))
            assert weights[weights > 0].unique().numel() == 1
            assert plan.epochs[step, client] == step // in_epoch
            assert set(rows.tolist()) == set(batch), "filled up with what is there anyway"


def test_a_batch_is_as_wide_as_the_widest_needs_it_to_be() -> None:
    plan = BatchPlan.of([np.array([4, 5]), np.array([7])], np.array([2, 1]), np.array([1, 1]), 32)
    assert plan.rows.tolist() == [[[4, 5], [7, 7]]]
    assert plan.weights.tolist() == [[[1, 1], [2, 0]]]
