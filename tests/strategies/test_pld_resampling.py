"""Resampling by personal losses: worked probabilities, pools, and the batches that come of them."""

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
    choose,
    draw_pools,
    selection_probabilities,
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


def test_worked_losses_and_probabilities() -> None:
    positive = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64)
    losses = bpr(positive, torch.zeros(4, dtype=torch.float64), "none")
    expected = torch.tensor([0.126928, 0.313262, 0.693147, 1.313262], dtype=torch.float64)
    torch.testing.assert_close(losses, expected, atol=1e-6, rtol=0)
    for temperature, worked in (
        (0.1, [0.863084, 0.133911, 0.002999, 0.000006]),
        (0.5, [0.475201, 0.327363, 0.153132, 0.044304]),
        (5.0, [0.274338, 0.264303, 0.244966, 0.216393]),
    ):
        found = selection_probabilities(losses[None], temperature)[0]
        expected = torch.tensor(worked, dtype=torch.float64)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_two_levels_of_loss() -> None:
    losses = torch.tensor([[0.7, 0.7, 0.2, 0.2, 0.2]], dtype=torch.float64)
    probabilities = selection_probabilities(losses, 0.5)
    noisy = 2 * math.exp(-0.7 / 0.5)
    expected = noisy / (noisy + 3 * math.exp(-0.2 / 0.5))
    assert expected == pytest.approx(0.196950, abs=1e-6)
    assert probabilities[0, :2].sum().item() == pytest.approx(expected, abs=1e-12)
    draws = 100_000
    chosen = choose(probabilities.expand(draws, -1), torch.rand(draws, dtype=torch.float64))
    share = (chosen < 2).double().mean().item()
    assert abs(share - expected) < 4 * (expected * (1 - expected) / draws) ** 0.5


def test_only_differences_within_a_pool_count() -> None:
    losses = torch.rand(7, 5, dtype=torch.float64)
    level = 10 * torch.rand(7, 1, dtype=torch.float64)
    found = selection_probabilities(losses + level, 0.1)
    torch.testing.assert_close(found, selection_probabilities(losses, 0.1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_large_losses_in_any_precision(dtype: torch.dtype) -> None:
    losses = torch.tensor([[3e4, 3e4 + 64.0], [0.0, 6e4]], dtype=dtype)
    found = selection_probabilities(losses, 0.01)
    assert found.dtype == torch.float32
    assert found.isfinite().all()
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_a_choice_is_the_interval_that_holds_the_number() -> None:
    p = torch.tensor([[0.25, 0.0, 0.5, 0.25]]).expand(6, -1)
    u = torch.tensor([0.0, 0.2499, 0.25, 0.7499, 0.75, 1 - 2**-24])
    assert choose(p, u).tolist() == [0, 0, 2, 2, 3, 3]
    assert choose(p[:1], u[:1]).shape == (1,)


def test_pools_hold_their_owner_and_others_without_repeats() -> None:
    sizes = torch.randint(4, 9, (20_000,))
    own = (torch.rand(20_000) * sizes).long()
    pools = draw_pools(own, sizes, torch.rand(20_000, 3))
    assert torch.equal(pools[:, 0], own)
    assert (pools < sizes[:, None]).all()
    assert (pools >= 0).all()
    assert (pools.sort(dim=1).values.diff(dim=1) > 0).all()


def test_every_set_of_others_is_as_likely() -> None:
    count = 60_000
    pools = draw_pools(torch.full((count,), 2), torch.full((count,), 5), torch.rand(count, 2))
    pairs = pools[:, 1:].sort(dim=1).values
    counts = torch.bincount(5 * pairs[:, 0] + pairs[:, 1])
    counts = counts[counts > 0].double()
    assert len(counts) == 6
    assert chi_square(counts) < 20.5  # 99.9 % with five degrees of freedom


def test_small_groups_are_drawn_from_with_replacement() -> None:
    count = 30_000
    pools = draw_pools(torch.zeros(count).long(), torch.full((count,), 3), torch.rand(count, 4))
    assert pools.max() == 2
    for column in pools[:, 1:].T:
        assert chi_square(torch.bincount(column).double()) < 13.8  # two degrees of freedom
    alone = draw_pools(torch.zeros(2).long(), torch.ones(2).long(), torch.rand(2, 4))
    assert (alone == 0).all()


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
