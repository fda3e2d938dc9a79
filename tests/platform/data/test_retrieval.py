"""Generated queries and documents: what belongs to what, and how plain it is."""

from __future__ import annotations

import pytest
import torch

from trainwright.data.sources import synthetic_retrieval
from trainwright.data.table import IGNORED


def test_each_query_is_nearest_to_its_own_document() -> None:
    table = synthetic_retrieval(num_labels=60, num_features=32)
    query, document = table.tensors["query_features"], table.tensors["document_features"]
    for vectors in (query, document):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(60))
    assert torch.equal((query @ document.T).argmax(dim=1), torch.arange(60))
    exact = synthetic_retrieval(num_labels=60, num_features=32, noise=0.0)
    torch.testing.assert_close(exact.tensors["query_features"], document)


def test_labels_of_a_query_are_its_own_and_different_others() -> None:
    table = synthetic_retrieval(num_labels=9, num_random=5)
    label, target = table.tensors["label"], table.tensors["target"]
    assert torch.equal(label, torch.arange(9))
    assert torch.equal(target[:, 0], label)
    numbers = []
    for own, row in zip(label.tolist(), target[:, 1:].tolist(), strict=True):
        others = [other for other in row if other != IGNORED]
        assert len(set(others)) == len(others)
        assert own not in others
        assert all(0 <= other < 9 for other in others)
        numbers.append(len(others))
    assert min(numbers) < 5, "of nine labels some must have been drawn twice"
    assert table.columns["target"].num_classes == 9


def test_the_seed_decides_everything() -> None:
    first = synthetic_retrieval(num_labels=12, seed=1)
    assert first.fingerprint() == synthetic_retrieval(num_labels=12, seed=1).fingerprint()
    assert first.fingerprint() != synthetic_retrieval(num_labels=12, seed=2).fingerprint()


@pytest.mark.parametrize("num_random", [0, 1])
def test_few_random_labels(num_random: int) -> None:
    assert synthetic_retrieval(12, num_random=num_random).tensors["target"].shape == (
        12,
        1 + num_random,
    )
