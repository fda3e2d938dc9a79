from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from populations import class_counts, has_each_row_once, label_lists, population

from trainwright_strategies.partitioners.shards import Shards

LABELS = np.arange(2000) % 10


@given(labels=label_lists(), clients=st.integers(1, 9), each=st.integers(1, 4))
def test_every_row_once(labels, clients, each):
    clients = max(1, min(clients, len(labels) // each))
    each = min(each, len(labels) // clients)
    partition = Shards(each)(population(clients, labels))
    assert has_each_row_once(partition, len(labels))
    sizes = partition.sizes(np.arange(clients))
    assert sizes.max() - sizes.min() <= each


def test_a_shard_of_one_class_each():
    """200 rows a class and 20 clients of two shards of 50: no shard lies across two classes."""
    counts = class_counts(Shards()(population(20, LABELS)), LABELS)
    assert set(counts.flatten().tolist()) <= {0, 50, 100}
    assert (counts.sum(axis=1) == 100).all()
    assert (counts == 50).any()  # shards are given out at random, not as they stand
    other = class_counts(Shards()(population(20, LABELS, seed=1)), LABELS)
    assert not np.array_equal(counts, other)


@given(clients=st.integers(1, 9), each=st.integers(1, 4), more=st.integers(0, 3), data=st.data())
def test_exactly_so_many_classes_each(clients, each, more, data):
    num_classes = min(each + more, clients * each)
    labels = data.draw(st.permutations([*range(num_classes)] * 9 + [0] * more))
    partition = Shards(classes_per_client=each)(population(clients, labels))
    assert has_each_row_once(partition, len(labels))
    owned = class_counts(partition, labels) > 0
    assert (owned.sum(axis=1) == each).all()
    owners = owned.sum(axis=0)
    assert owners.max() - owners.min() <= 1


def test_classes_are_shared_evenly_and_in_many_pairs():
    counts = class_counts(Shards(classes_per_client=2)(population(50, LABELS)), LABELS)
    assert set(counts[counts > 0].tolist()) == {20}
    assert len({tuple(np.flatnonzero(row)) for row in counts}) > 15


@pytest.mark.parametrize(
    ("options", "clients", "words"),
    [
        ({"classes_per_client": 11}, 5, "there are 10 classes, and classes_per_client is 11"),
        (
            {"classes_per_client": 1},
            5,
            "leave classes to nobody: use at least 2 classes_per_client",
        ),
        ({"shards_per_client": 500}, 5, "too few for 5 clients with at least 500 samples each"),
    ],
)
def test_what_cannot_be_divided(options, clients, words):
    with pytest.raises(ValueError, match=words):
        Shards(**options)(population(clients, LABELS))


def test_a_class_with_fewer_samples_than_clients():
    labels = [0] * 50 + [1] * 2
    with pytest.raises(ValueError, match="class 1 has 2 samples for 5 clients: use fewer clients"):
        Shards(classes_per_client=2)(population(5, labels))


def test_one_option_of_two():
    with pytest.raises(ValueError, match="not both"):
        Shards(shards_per_client=2, classes_per_client=2)
    with pytest.raises(ValueError, match="shards_per_client must be a whole number"):
        Shards(shards_per_client=0)
    with pytest.raises(ValueError, match="classes_per_client must be a whole number"):
        Shards(classes_per_client=0)
