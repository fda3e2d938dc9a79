from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainwright.federated import Drawn, Indexed
from trainwright.federated.population.client_rows import ClientRows

POOL = Indexed.of(np.zeros(400, dtype=np.int64), 1)


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 2),
)
def test_each_row_is_on_one_side_and_one_is_left_to_train_on(sizes, share, seed):
    partition = Indexed.of(np.repeat(np.arange(len(sizes)), sizes), len(sizes))
    rows = ClientRows(partition, share, seed)
    together = rows.training_of(np.arange(len(sizes)))
    for client, size in enumerate(sizes):
        training, measured = rows.training(client), rows.measured(client)
        assert together[client].tolist() == training.tolist()
        assert len(training) == rows.sizes(np.array([client]))[0] >= 1
        if share == 0:
            assert training.tolist() == measured.tolist() == partition.rows(client).tolist()
            continue
        assert sorted([*training.tolist(), *measured.tolist()]) == partition.rows(client).tolist()
        assert abs(len(measured) - size * share) <= 1
        assert len(measured) >= (size > 1)


def test_a_tenth_of_twenty_and_the_whole_of_one():
    rows = ClientRows(Indexed.of(np.repeat([0, 1], [20, 1]), 2), 0.1, 0)
    assert rows.sizes(np.array([0, 1])).tolist() == [18, 1]
    assert len(rows.measured(1)) == 0


def test_the_choice_is_that_of_seed_and_rows():
    partition = Indexed.of(np.repeat([0, 1], 50), 2)
    first, again = (ClientRows(partition, 0.5, 0).measured(1) for _ in range(2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != ClientRows(partition, 0.5, 1).measured(1).tolist()
    one = Indexed.of(np.array([-1] * 50 + [0] * 50), 1)  # the same rows, of a client 0
    assert ClientRows(one, 0.5, 0).measured(0).tolist() == first.tolist()


def test_what_one_holds_out_few_train_on_where_rows_are_shared():
    rows = ClientRows(Drawn(10**9, 0, POOL, (20, 40)), 0.25, 0)
    clients = [0, 5, 10**9 - 1, *range(100, 200)]
    held = {row for client in clients for row in rows.measured(client).tolist()}
    pairs = [row in held for client in clients for row in rows.training(client).tolist()]
    assert 0.1 < len(held) / 400 < 0.6
    assert np.mean(pairs) < 0.3  # 0.9 if each client chose by itself
    assert rows.sizes(np.array(clients)).tolist() == [len(rows.training(k)) for k in clients]


@pytest.mark.parametrize("share", [0.0, 0.2])
def test_rows_of_a_client_are_found_when_asked_for(share):
    partition = Drawn(10**9, 0, POOL, (10, 10))
    assert len(ClientRows(partition, share, 0).training(123_456_789)) == 10 - 10 * share
