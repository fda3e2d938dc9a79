"""Samples drawn by their scores: the orders of epochs against a slow account of the scores."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Context, Order
from trainwright.strategy.tables import SampleTables
from trainwright_strategies.data_importance_sampling import DataImportanceSampling
from trainwright_strategies.importance import draw, logit_scores, smoothed

NAME = "data_importance_sampling"
IDS = np.array([5, 3, 8, 0, 9, 4])
"""Ids of the rows of a table: not those of the rows, and not all there are."""


def begun(strategy: DataImportanceSampling, epochs: int = 4, steps: int = 3) -> Context:
    context = Context(seed=1, steps_per_epoch=steps, total_steps=epochs * steps)
    context.tables = SampleTables(10, torch.device("cpu"))
    strategy.begin(context)
    return context


def plain(epoch: int = 0) -> Order:
    indices = np.random.default_rng(epoch).permutation(len(IDS))
    return Order(indices.astype(np.int64), None, IDS)


class Scored:
    """A compute whose model gives fixed logits for each sample."""

    def __init__(self, logits: Tensor, couples: str = "sample") -> None:
        self.logits, self.couples = logits, couples

    def forward(self, batch: Any) -> Any:
        return {"logits": self.logits[batch["sample_id"]]}

    def __call__(self, batch: Any, outputs: Any = None) -> Any:
        return outputs


def epoch_of(strategy: Any, context: Context, logits: Tensor, epoch: int) -> Order:
    """One epoch in updates of two samples; what was drawn for it."""
    context.update, context.epoch = 3 * epoch, epoch
    order = strategy.order(epoch, plain(epoch))
    for start in range(0, len(IDS), 2):
        ids = torch.from_numpy(IDS[order.indices[start : start + 2]])
        strategy.loss({"sample_id": ids, "target": ids % 3}, Scored(logits + start))
        context.tables.settle()
    return order


def folded(order: Order, logits: Tensor) -> list[float]:
    """The scores of an epoch by row, one after the other."""
    rows: list[float] = [0.0] * len(IDS)
    seen = set()
    for place, row in enumerate(order.indices):
        name = int(IDS[row])
        target = torch.tensor([name % 3])
        score = float(logit_scores((logits + 2 * (place // 2))[[name]], target))
        rows[row] = (rows[row] + score) / 2 if row in seen else score
        seen.add(row)
    return rows


def test_scores_are_folded_by_halves() -> None:
    strategy = DataImportanceSampling()
    table = begun(strategy).table(NAME, init=-1.0, fold="running")
    found = []
    for score in (0.6, 0.2, 1.0):
        table.put(torch.tensor([7]), torch.tensor([score]))
        table.settle()
        found.append(float(table[torch.tensor([7])]))
    assert found == pytest.approx([0.6, 0.4, 0.7])


@pytest.mark.parametrize("unbiased", [False, True])
def test_epochs_are_drawn_by_the_scores_of_the_epoch_before(unbiased: bool) -> None:
    strategy, logits = DataImportanceSampling(unbiased=unbiased), 2 * torch.randn(10, 3)
    context = begun(strategy)
    order = epoch_of(strategy, context, logits, 0)
    assert order.indices.tolist() == plain(0).indices.tolist()
    assert order.weights is None
    for epoch, tau in ((1, 0.0), (2, 0.25), (3, 0.5)):
        scores = torch.tensor(folded(order, logits))
        order = epoch_of(strategy, context, logits, epoch)
        given = plain(epoch).indices
        q = smoothed(scores[given], tau)
        drawn = draw(q, len(IDS), context.rng(NAME))
        assert order.indices.tolist() == given[drawn].tolist()
        if unbiased:
            np.testing.assert_allclose(order.weights, 1 / (6 * q[drawn].numpy()), rtol=1e-5)
        else:
            assert order.weights is None


def test_the_distribution_stays_where_all_scores_are_zero() -> None:
    strategy = DataImportanceSampling(1.0)
    context = begun(strategy)
    target = torch.arange(10) % 3
    sure = 300 * nn.functional.one_hot(target, 3).float()
    logits = sure.clone()
    logits[8] = 0.0
    epoch_of(strategy, context, logits, 0)
    for epoch in (1, 2, 3):
        order = epoch_of(strategy, context, sure, epoch)
        assert set(order.indices.tolist()) == {2}, "only the row of sample 8 has a score"
    fresh = DataImportanceSampling(1.0)
    context = begun(fresh)
    epoch_of(fresh, context, sure, 0)
    found = epoch_of(fresh, context, sure, 1)
    uniform = draw(smoothed(torch.ones(6), 0.0), 6, context.rng(NAME))
    assert found.indices.tolist() == plain(1).indices[uniform].tolist(), "nothing is known yet"


def test_a_restart_draws_the_same_epochs() -> None:
    logits = 2 * torch.randn(10, 3)
    strategy = DataImportanceSampling(0.8)
    context = begun(strategy)
    for epoch in (0, 1):
        epoch_of(strategy, context, logits, epoch)
    kept = copy.deepcopy([strategy.state_dict(), context.tables.state_dict()])
    expected = [epoch_of(strategy, context, logits, epoch) for epoch in (2, 3)]
    again = DataImportanceSampling(0.8)
    again.load_state_dict(kept[0])
    context = Context(seed=1, steps_per_epoch=3, total_steps=12)
    context.tables = SampleTables(10, torch.device("cpu"))
    context.tables.load_state_dict(kept[1])
    again.begin(context)
    for epoch, before in zip((2, 3), expected, strict=True):
        found = epoch_of(again, context, logits, epoch)
        assert found.indices.tolist() == before.indices.tolist()


def test_what_strategies_before_have_chosen_stays() -> None:
    strategy = DataImportanceSampling(1.0, unbiased=True)
    context = begun(strategy)
    epoch_of(strategy, context, torch.randn(10, 3), 0)
    given = Order(np.array([1, 1, 1, 4, 4, 2]), None, IDS)
    given = given.replaced(given.indices, np.array([2.0, 2, 2, 3, 3, 4]))
    scores = context.table(NAME, init=-1.0, fold="running").values[IDS[given.indices]].clone()
    context.update = 3
    found = strategy.order(1, given)
    weight_of = {1: 2.0, 4: 3.0, 2: 4.0}
    q = scores / scores.sum()
    expected = {row: weight_of[row] / (6 * float(q[i])) for i, row in enumerate([1, 1, 1, 4, 4, 2])}
    assert set(found.indices.tolist()) <= {1, 2, 4}
    for row, weight in zip(found.indices.tolist(), found.weights.tolist(), strict=True):
        assert weight == pytest.approx(expected[row], rel=1e-5)


def test_uniform_until_the_warmup_is_over() -> None:
    strategy = DataImportanceSampling(1.0, warmup_epochs=3)
    context, logits = begun(strategy), torch.randn(10, 3)
    for epoch in range(3):
        order = epoch_of(strategy, context, logits, epoch)
        assert order.indices.tolist() == plain(epoch).indices.tolist()
    assert epoch_of(strategy, context, logits, 3).indices.tolist() != plain(3).indices.tolist()


@pytest.mark.parametrize(
    ("rank", "couples", "put"), [(1, "batch", 0), (0, "batch", 3), (1, "sample", 3)]
)
def test_a_global_batch_is_scored_once(rank: int, couples: str, put: int) -> None:
    strategy = DataImportanceSampling()
    context = begun(strategy)
    context.rank = rank
    ids = torch.tensor([1, 2, 3])
    strategy.loss({"sample_id": ids, "target": ids % 3}, Scored(torch.randn(10, 3), couples))
    context.tables.settle()
    table = context.table(NAME, init=-1.0, fold="running")
    assert int((table.values >= 0).sum()) == put


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau_schedule": 1.5}, "tau_schedule must be"),
        ({"tau_schedule": "fast"}, "tau_schedule must be"),
        ({"warmup_epochs": 0}, "warmup_epochs must be a whole number of at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be in"),
    ],
)
def test_wrong_options_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataImportanceSampling(**options)


def test_groups_and_missing_columns_are_told() -> None:
    strategy = DataImportanceSampling()
    with pytest.raises(ValueError, match="keeps groups whole"):
        strategy.objective(SimpleNamespace(couples="group"))
    begun(strategy)
    with pytest.raises(ValueError, match="no column 'target'"):
        strategy.loss({"sample_id": torch.tensor([1])}, Scored(torch.randn(10, 3)))
    strategy.output = "scores"
    with pytest.raises(ValueError, match="no output 'scores'; it gives logits"):
        strategy.loss({"sample_id": torch.tensor([1])}, Scored(torch.randn(10, 3)))


def test_only_who_weights_needs_an_objective_that_can_be_weighted() -> None:
    assert DataImportanceSampling(unbiased=True).declares.sample_weights
    assert not DataImportanceSampling().declares.sample_weights
