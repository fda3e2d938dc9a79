"""Resampling by personal losses: the batches and orders that come of it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from trainwright.strategy import Context, Order
from trainwright_objectives.bpr import bpr
from trainwright_strategies.pld_resampling import (
    Groups,
    PldResampling,
)

USERS, ITEMS = 6, 30
SIZES = (2, 3, 5, 8, 8, 12)


class Step:
    """What the batch hook reads of an update."""

    def __init__(self, epoch: int = 9) -> None:
        self.epoch = epoch


class Data:
    """The training samples, in two parts."""

    def __init__(self, columns: dict[str, torch.Tensor]) -> None:
        self.columns = columns

    def batches(self, split: str = "train"):
        for part in (slice(0, 20), slice(20, None)):
            yield {name: column[part] for name, column in self.columns.items()}


class Factors(nn.Module):
    """Matrix factorisation, and what the platform's score makes of it."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, 4), nn.Embedding(ITEMS, 4)
        self.calls = 0

    def losses(self, batch) -> torch.Tensor:
        user, item, negative = (batch[n][:, 0] for n in ("user", "item", "negative"))
        score = (self.user(user) * self.item(item)).sum(1)
        return bpr(score, (self.user(user) * self.item(negative)).sum(1), "none")

    @torch.no_grad()
    def score(self, batch) -> torch.Tensor:
        self.calls += 1
        return self.losses(batch)


def interactions() -> dict[str, torch.Tensor]:
    user = torch.repeat_interleave(torch.arange(USERS), torch.tensor(SIZES))
    item = torch.cat([torch.randperm(ITEMS)[:size] for size in SIZES])
    order = torch.randperm(len(user))
    return {
        "user": user[order, None],
        "item": item[order, None],
        "negative": torch.randint(ITEMS, (len(user), 1)),
        "sample_id": torch.arange(len(user)) + 100,
    }


def started(strategy: PldResampling, columns: dict[str, torch.Tensor]) -> PldResampling:
    strategy.begin(Context(seed=3, data=Data(columns)))
    return strategy


def batch_of(columns: dict[str, torch.Tensor], size: int = 16) -> dict[str, torch.Tensor]:
    rows = torch.randperm(len(columns["user"]))[:size]
    return {name: column[rows] for name, column in columns.items()}


def chi_square(counts: torch.Tensor) -> float:
    expected = counts.sum() / len(counts)
    return float(((counts - expected) ** 2 / expected).sum())


def test_groups_are_drawn_alike_whatever_their_size() -> None:
    columns = interactions()
    groups = Groups(columns["user"][:, 0])
    rows = groups.uniform_rows(torch.rand(60_000, 2))
    users = columns["user"][rows, 0]
    assert chi_square(torch.bincount(users).double()) < 20.5
    of_last = torch.bincount(rows[users == 5])
    assert chi_square(of_last[of_last > 0].double()) < 31.3  # eleven degrees of freedom
    pools = groups.pools(rows[:500], torch.rand(500, 4))
    assert torch.equal(pools[:, 0], rows[:500])
    assert (columns["user"][pools, 0] == columns["user"][rows[:500]]).all()


@pytest.mark.parametrize("temperature", [0.1, 1e6])
def test_a_batch_keeps_users_and_negatives_and_prefers_small_losses(temperature: float) -> None:
    columns, model = interactions(), Factors()
    strategy = started(PldResampling(4, temperature), columns)
    row_of = {int(name): row for row, name in enumerate(columns["sample_id"])}
    before, after = [], []
    for update in range(150):
        strategy._context.update = update
        batch = batch_of(columns)
        found = strategy.batch(Step(), batch, model.score)
        assert found.keys() == batch.keys()
        assert torch.equal(found["user"], batch["user"])
        assert torch.equal(found["negative"], batch["negative"])
        rows = [row_of[int(name)] for name in found["sample_id"]]
        assert torch.equal(found["item"], columns["item"][rows])
        before.append(model.score(batch).mean())
        after.append(model.score(found).mean())
    gain = torch.stack(before).mean() - torch.stack(after).mean()
    assert gain > 0.3 if temperature == 0.1 else abs(gain) < 0.1


def test_at_a_high_temperature_every_choice_of_a_user_is_as_likely() -> None:
    columns, model = interactions(), Factors()
    strategy = started(PldResampling(4, 1e6), columns)
    rows = (columns["user"][:, 0] == 3).nonzero().flatten()
    batch = {name: column[rows] for name, column in columns.items()}
    counts = torch.zeros(ITEMS)
    for update in range(1500):
        strategy._context.update = update
        found = strategy.batch(Step(), batch, model.score)
        counts += torch.bincount(found["item"][:, 0], minlength=ITEMS)
    assert chi_square(counts[counts > 0].double()) < 24.3  # 99.9 % with seven degrees of freedom


def test_the_gradient_is_that_of_the_chosen_triples() -> None:
    columns, model = interactions(), Factors()
    strategy = started(PldResampling(4), columns)
    found = strategy.batch(Step(), batch_of(columns), model.score)
    assert all(not column.requires_grad for column in found.values())
    model.losses(found).mean().backward()
    got = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    rows = zip(found["user"], found["item"], found["negative"], strict=True)
    for user, item, negative in rows:
        ahead = model.user(user) @ (model.item(item) - model.item(negative)).T
        (torch.nn.functional.softplus(-ahead).sum() / len(found["user"])).backward()
    for gradient, p in zip(got, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, p.grad)


def test_nothing_is_scored_in_the_warmup_nor_without_pools() -> None:
    columns, model = interactions(), Factors()
    batch = batch_of(columns)
    strategy = started(PldResampling(4, warmup_epochs=5), columns)
    assert strategy.batch(Step(4), batch, model.score) is batch
    assert started(PldResampling(1), columns).batch(Step(), batch, model.score) is batch
    assert model.calls == 0
    strategy.batch(Step(5), batch, model.score)
    assert model.calls == 1


def test_the_same_update_chooses_the_same_whatever_the_micro_batches() -> None:
    columns, model = interactions(), Factors()
    batch = batch_of(columns)
    whole = started(PldResampling(4), columns).batch(Step(), batch, model.score)
    again = started(PldResampling(4), columns)
    parts = [
        again.batch(Step(), {n: c[part] for n, c in batch.items()}, model.score)
        for part in (slice(0, 5), slice(5, 16))
    ]
    for name, column in whole.items():
        assert torch.equal(torch.cat([part[name] for part in parts]), column)
    again._context.update = 1
    other = again.batch(Step(), batch, model.score)
    assert not torch.equal(other["item"], whole["item"])


def test_columns_that_the_data_lacks_stay_with_the_sample() -> None:
    columns, model = interactions(), Factors()
    batch = {**batch_of(columns), "sample_weight": torch.rand(16)}
    found = started(PldResampling(4), columns).batch(Step(), batch, model.score)
    assert torch.equal(found["sample_weight"], batch["sample_weight"])
    assert not torch.equal(found["sample_id"], batch["sample_id"])


def test_order_draws_users_alike() -> None:
    columns = interactions()
    rows = np.random.default_rng(0).permutation(len(columns["user"]))
    ids = columns["sample_id"].numpy()[::-1].copy()
    order = Order(rows.astype(np.int64), None, ids)
    strategy = started(PldResampling(), columns)
    counts = torch.zeros(USERS)
    for epoch in range(400):
        found = strategy.order(epoch, order)
        found.check()
        sample = torch.from_numpy(ids[found.indices]) - 100
        counts += torch.bincount(columns["user"][sample, 0], minlength=USERS)
    assert chi_square(counts.double()) < 20.5
    assert np.array_equal(strategy.order(2, order).indices, strategy.order(2, order).indices)
    assert started(PldResampling(uniform_groups=False), columns).order(0, order) is order


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool_size": 0}, "pool_size must be a whole number of at least 1, got 0"),
        ({"pool_size": 2.5}, "pool_size must be"),
        ({"temperature": 0.0}, "temperature must be a number above 0, got 0.0"),
        ({"temperature": math.inf}, "temperature must be"),
        ({"warmup_epochs": -1}, "warmup_epochs must be a whole number of at least 0, got -1"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PldResampling(**options)


def test_ill_groups() -> None:
    with pytest.raises(ValueError, match=r"no column 'client'; it has user, item"):
        started(PldResampling(group="client"), interactions())
    wide = {**interactions(), "user": torch.zeros(sum(SIZES), 2)}
    with pytest.raises(ValueError, match="one value per sample"):
        started(PldResampling(), wide)
