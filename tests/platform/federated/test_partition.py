from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from trainwright.federated import Drawn, Indexed, Partition, Population


def indexed(*clients: list[int]) -> Indexed:
    bounds = np.cumsum([0, *(len(rows) for rows in clients)])
    return Indexed(np.concatenate([np.array(rows) for rows in clients]), bounds)


def population(num_clients: int | None = 3, rows: int = 12, **changes) -> Population:
    values = {"label": torch.arange(rows) % 4, "site": torch.arange(rows) // 5 + 7}
    values |= changes.pop("columns", {})
    known = {"seed": 0, "target": "label", "num_classes": 4} | changes
    return Population(num_clients, rows, column=values.__getitem__, **known)


class Every(Partition):
    """Client k has rows 0..k, which nobody lists."""

    num_clients = 5

    def rows(self, client):
        return torch.arange(client + 1)

    def sizes(self, clients):
        return clients + 1

    def digest(self):
        return "every"


def test_rows_are_a_slice_of_the_list():
    partition = indexed([4, 0], [1], [2, 3, 5])
    assert partition.num_clients == 3
    assert [partition.rows(k).tolist() for k in range(3)] == [[4, 0], [1], [2, 3, 5]]
    assert partition.rows(2).data_ptr() == partition.indices[3:].data_ptr()
    assert partition.sizes(np.array([2, 0, 2])).tolist() == [3, 2, 3]
    assert [rows.tolist() for rows in partition.rows_of(np.array([1, 0]))] == [[1], [4, 0]]
    assert partition.description() == {}


@given(st.lists(st.integers(-1, 4), min_size=5, max_size=40), st.integers(0, 3))
def test_owners_become_lists(owners, extra):
    owners = [0, 1, 2, 3, 4, *owners]
    partition = Indexed.of(np.array(owners), 5)
    for client in range(5):
        expected = [row for row, owner in enumerate(owners) if owner == client]
        assert partition.rows(client).tolist() == expected
    assert partition.sizes(np.arange(5)).sum() == len(partition.indices)


@pytest.mark.parametrize(
    ("owners", "words"),
    [([0, 2, 2], "1 of 3 clients have no samples, the first is client 1"), ([-1, -1], "3 of 3")],
)
def test_clients_without_rows_are_refused(owners, words):
    with pytest.raises(ValueError, match=words):
        Indexed.of(np.array(owners), 3)


@pytest.mark.parametrize("bounds", [[0], [1, 3], [0, 2], [0, 4]])
def test_bounds_that_do_not_fit_are_refused(bounds):
    with pytest.raises(ValueError, match="begin with 0 and end with the 3 rows"):
        Indexed(np.arange(3), np.array(bounds))


def test_the_digest_is_that_of_who_has_what():
    digests = {
        indexed([0, 1], [2]).digest(),
        indexed([0], [1, 2]).digest(),
        indexed([0, 2], [1]).digest(),
        indexed([0, 1, 2]).digest(),
    }
    assert len(digests) == 4
    assert all(len(digest) == 32 for digest in digests)
    written = b"indexed|2|" + struct.pack("<6q", 0, 2, 3, 0, 1, 2)
    assert indexed([0, 1], [2]).digest() == hashlib.sha256(written).hexdigest()[:32]


@pytest.mark.parametrize(
    "partition",
    [
        indexed([0], [1, 2, 3], [4, 5]),
        Every(),
        Drawn(40, 1, Indexed.of(np.zeros(30, dtype=np.int64), 1), (1, 9)),
    ],
    ids=lambda partition: type(partition).__name__,
)
def test_draws_in_proportion_to_rows(partition):
    numbers = np.random.default_rng(0).random((40_000, 2))
    drawn = partition.in_proportion(numbers)
    counts = np.bincount(drawn[drawn >= 0], minlength=partition.num_clients)
    sizes = partition.sizes(np.arange(partition.num_clients))
    assert stats.chisquare(counts, sizes / sizes.sum() * counts.sum()).pvalue > 1e-3
    assert (drawn >= 0).mean() > 0.45


def pools(*sizes: int) -> Indexed:
    return Indexed.of(np.repeat(np.arange(len(sizes)), sizes), len(sizes))


@given(
    sizes=st.lists(st.integers(3, 20), min_size=1, max_size=4),
    fewest=st.integers(1, 3),
    more=st.integers(0, 20),
    alpha=st.floats(1e-3, 1e3),
    seed=st.integers(0, 3),
    client=st.integers(0, 10**9 - 1),
)
def test_a_client_draws_different_rows_and_the_same_each_time(
    sizes, fewest, more, alpha, seed, client
):
    most = min(fewest + more, *sizes)
    partition = Drawn(10**9, seed, pools(*sizes), (min(fewest, most), most), alpha)
    rows = partition.rows(client)
    assert len(rows) == partition.sizes(np.array([client]))[0]
    assert min(fewest, most) <= len(rows) <= most
    assert len(rows.unique()) == len(rows)
    assert rows.min() >= 0
    assert rows.max() < sum(sizes)
    again = Drawn(10, seed, pools(*sizes), (min(fewest, most), most), alpha)
    assert torch.equal(again.rows(client), rows)  # a larger population leaves a client as it is
    together = partition.rows_of(np.array([3, client, client, 0]))
    assert torch.equal(together[1], rows)
    assert torch.equal(together[0], partition.rows(3))


def test_sizes_do_not_depend_on_who_else_is_asked():
    partition = Drawn(10**9, 3, pools(50), (5, 30))
    clients = np.array([7, 999_999_999, 0, 12345])
    alone = [int(partition.sizes(clients[i : i + 1])[0]) for i in range(4)]
    assert partition.sizes(clients).tolist() == alone
    many = partition.sizes(np.arange(26_000))
    assert stats.chisquare(np.bincount(many)[5:]).pvalue > 1e-3


def test_without_classes_every_row_is_as_likely():
    partition = Drawn(10**6, 0, pools(40), (10, 10))
    counts = np.bincount(np.concatenate([partition.rows(k).numpy() for k in range(1500)]))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_rows_of_a_class_are_as_likely():
    partition = Drawn(10**6, 0, pools(30, 60), (10, 10), 1e6)
    counts = np.bincount(np.concatenate([partition.rows(k).numpy() for k in range(1500)]))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_nobody_is_asked():
    assert Drawn(3, 0, pools(5), (1, 3)).rows_of(np.array([], dtype=np.int64)) == []


def test_all_rows_may_be_drawn():
    assert Drawn(3, 0, pools(25), (25, 25)).rows(1).tolist() == list(range(25))


def test_classes_are_mixed_as_alpha_says():
    """The mixes of many clients have mean and variance of the Dirichlet distribution."""
    sizes, alpha, samples = np.array([2000, 1000, 1000]), 0.5, 200
    partition = Drawn(10**6, 0, pools(*sizes), (samples, samples), alpha)
    label = np.repeat(np.arange(3), sizes)
    mixes = np.array(
        [np.bincount(label[partition.rows(k).numpy()], minlength=3) for k in range(600)]
    )
    mixes = mixes / samples
    mean, total = sizes / sizes.sum(), alpha * 3
    spread = mean * (1 - mean) / (total + 1)
    assert np.abs(mixes.mean(axis=0) - mean).max() < 4 * (spread.max() / 600) ** 0.5
    expected = spread + mean * (1 - mean) / samples * total / (total + 1)  # and of the draws
    assert mixes.var(axis=0) == pytest.approx(expected, rel=0.2)
    even = Drawn(10**6, 0, pools(*sizes), (samples, samples), 1e6)
    share = (label[even.rows(5)] == 0).mean()
    assert abs(share - 0.5) < 4 * (0.25 / samples) ** 0.5


def test_the_digest_of_drawn_clients_is_that_of_what_they_are_a_function_of():
    first = Drawn(10, 0, pools(5, 5), (1, 2), 0.5)
    others = [
        Drawn(11, 0, pools(5, 5), (1, 2), 0.5),
        Drawn(10, 1, pools(5, 5), (1, 2), 0.5),
        Drawn(10, 0, pools(4, 6), (1, 2), 0.5),
        Drawn(10, 0, pools(5, 5), (2, 2), 0.5),
        Drawn(10, 0, pools(5, 5), (1, 2), 0.6),
    ]
    assert len({partition.digest() for partition in [first, *others]}) == 6
    assert first.digest() == Drawn(10, 0, pools(5, 5), (1, 2), 0.5).digest()
    assert first.description()["samples"] == [1, 2]


@pytest.mark.parametrize(
    ("sizes", "samples", "alpha", "words"),
    [
        ((5,), (6, 6), None, "draw 6 samples, and the training table has 5"),
        ((9, 5), (2, 6), 1.0, "draw 6 samples, and class 1 has 5: let clients draw at most 5"),
        ((9, 5), (2, 3), None, "2 pools need alpha"),
        ((9,), (3, 2), None, "fewest first"),
        ((9,), (0, 2), None, "1 sample or more"),
    ],
)
def test_drawn_clients_that_cannot_be(sizes, samples, alpha, words):
    with pytest.raises(ValueError, match=words):
        Drawn(10, 0, pools(*sizes), samples, alpha)


def test_how_many_clients_are_wanted():
    assert population(4).wanted_clients(min_samples=3) == 4
    assert population(100).wanted_clients(share_rows=True) == 100
    with pytest.raises(ValueError, match=r"give federation\.clients"):
        population(None).wanted_clients()
    with pytest.raises(ValueError, match="too few for 13 clients with at least one sample each"):
        population(13).wanted_clients()
    with pytest.raises(ValueError, match="5 samples each: use at most 2 clients"):
        population(3).wanted_clients(min_samples=5)


def test_classes_of_the_target_and_of_another_column():
    assert population().classes().tolist() == [0, 1, 2, 3] * 3
    assert population().classes("site").tolist() == [0] * 5 + [1] * 5 + [2] * 2


@pytest.mark.parametrize(
    ("changes", "column", "words"),
    [
        ({"target": None}, None, "name one in the option column"),
        ({"num_classes": 5}, None, "class 4 of column 'label' has no training sample"),
        ({"num_classes": 12}, None, "classes 4, 5, 6, 7, 8, … of column 'label' have no"),
        ({"columns": {"x": torch.zeros(12, 3)}}, "x", r"float32 of shape \[3\]"),
        ({"columns": {"x": torch.zeros(12, dtype=torch.bool)}}, "x", "has no classes but bool"),
    ],
)
def test_what_has_no_classes_is_refused(changes, column, words):
    with pytest.raises(ValueError, match=words):
        population(**changes).classes(column)
