"""Generated interactions and random negatives, against what their descriptions say."""

from __future__ import annotations

import pytest
import torch

from trainwright.data import Table
from trainwright.data.sources import synthetic_interactions
from trainwright.data.transforms import RandomNegative, TransformChain
from trainwright.errors import DataError

SMALL = {"num_users": 40, "num_items": 25, "num_liked": 8, "num_train": 5}


def pairs(table: Table) -> set[tuple[int, int]]:
    user, item = (table.tensors[name][:, 0].tolist() for name in ("user", "item"))
    return set(zip(user, item, strict=True))


def test_the_parts_are_all_pairs_once() -> None:
    train = synthetic_interactions(**SMALL, noise_ratio=0.4, seed=3)
    ranking = synthetic_interactions(**SMALL, noise_ratio=0.4, part="ranking", seed=3)
    assert len(train) == 40 * 7
    assert not pairs(train) & pairs(ranking)
    assert len(pairs(train) | pairs(ranking)) == len(train) + len(ranking) == 40 * 25
    for table, liked in ((train, 5), (ranking, 3)):
        relevant = table.tensors["relevant"][:, 0]
        assert torch.bincount(table.tensors["user"][:, 0], relevant).tolist() == [liked] * 40
        assert table.columns["user"].num_classes == 40
        assert table.columns["item"].num_classes == 25


def test_noise_is_added_and_likes_have_structure() -> None:
    clean, noisy = (synthetic_interactions(noise_ratio=ratio) for ratio in (0.0, 0.5))
    assert pairs(clean) < pairs(noisy)
    assert noisy.tensors["relevant"].mean().item() == pytest.approx(20 / 30)
    chosen = torch.zeros(300, 200)
    chosen[clean.tensors["user"][:, 0], clean.tensors["item"][:, 0]] = 1.0
    values = torch.linalg.svdvals(chosen - chosen.mean())
    assert values[:6].square().sum() > 0.2 * values.square().sum()


def test_ill_sizes() -> None:
    with pytest.raises(ValueError, match="must be below num_liked"):
        synthetic_interactions(num_liked=20)
    with pytest.raises(ValueError, match="below num_items"):
        synthetic_interactions(noise_ratio=9.0)


def chained(table: Table) -> TransformChain:
    chain = TransformChain([("random_negative", RandomNegative())], 0)
    chain.fit(table)
    return chain


def test_negatives_are_items_that_the_user_did_not_choose() -> None:
    table = synthetic_interactions(**SMALL, noise_ratio=1.0)
    chain, known = chained(table), pairs(table)
    counts = torch.zeros(40, 25)
    for epoch in range(200):
        batch = chain(table.take(torch.arange(len(table))), epoch, True)
        assert batch["negative"].shape == batch["item"].shape
        counts.index_put_(
            (batch["user"][:, 0], batch["negative"][:, 0]), torch.ones(len(table)), accumulate=True
        )
    free = torch.ones(40, 25, dtype=torch.bool)
    free[tuple(torch.tensor(sorted(known)).T)] = False
    assert (counts[~free] == 0).all()
    expected = 200 * 10 / 15
    assert (counts[free] > expected - 5 * expected**0.5).all()
    assert (counts[free] < expected + 5 * expected**0.5).all()


def test_evaluation_sees_the_same_negatives_each_time() -> None:
    table = synthetic_interactions(**SMALL)
    chain = chained(table)
    rows = table.take(torch.arange(50))
    first, second = (chain(rows, epoch, False)["negative"] for epoch in (0, 7))
    assert torch.equal(first, second)
    assert not torch.equal(chain(rows, 7, True)["negative"], first)


def test_a_user_who_chose_all_items_is_named() -> None:
    user, item = torch.tensor([[0], [1], [1]]), torch.tensor([[0], [0], [1]])
    table = Table.from_arrays({"user": user, "item": item}, {"user": "tokens", "item": "tokens"})
    with pytest.raises(DataError, match="user 1 chose all 2 items"):
        chained(table)
    taken = Table.from_arrays(
        {"user": user, "item": item, "negative": item},
        {"user": "tokens", "item": "tokens", "negative": "tokens"},
    )
    with pytest.raises(DataError, match="column 'negative' already"):
        chained(taken)
