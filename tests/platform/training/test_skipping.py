"""One update that is left out: by the guard, or because a strategy asks for it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Loss, Step, Strategy
from trainwright.training.feed import Update
from trainwright.training.guard import Guard
from trainwright.training.update import Updater


class Watching(Strategy):
    """Counts what it is told, and may ask that an update is left out."""

    def __init__(self, when: Callable[[int], bool] = lambda index: False) -> None:
        self.when = when
        self.seen: list[int] = []
        self.judged: list[float] = []

    def gradients(self, step: Step) -> None:
        self.judged.append(step.training_loss())
        if self.when(step.index):
            step.skip("asked")

    def updated(self, step: Step) -> None:
        self.seen.append(step.index)


def _updater(strategy: Strategy, guard: Guard | None = None) -> Updater:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(network, {"input": "x"}), terms)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    engine = LocalEngine(module, optimizer, EngineSettings())
    return Updater(engine, terms, [strategy], guard=guard)


def _batch(seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 3, generator=generator) * scale
    return {"x": x, "target": torch.randint(0, 2, (6,), generator=generator)}


def _state(updater: Updater) -> dict[str, Tensor]:
    return {name: v.clone() for name, v in updater.engine.module.state_dict().items()}


def test_running_statistics_do_not_keep_what_was_not_finite() -> None:
    updater = _updater(strategy := Watching(), Guard("skip"))
    updater(Update(0, 0, 6, [_batch(0)], (0, 6)), [0.1])
    before = _state(updater)
    updater(Update(1, 0, 6, [_batch(1, math.inf)], (0, 6)), [0.1])
    assert updater.skipped == "the loss was not finite"
    after = _state(updater)
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    assert strategy.seen == [0]
    assert len(strategy.judged) == 1, "a gradient that is not finite reached a hook"


def test_a_strategy_leaves_an_update_out() -> None:
    with_it, without = _updater(Watching(lambda index: index == 1)), _updater(Watching())
    for index in range(3):
        with_it(Update(index, 0, 6, [_batch(index)], (0, 6)), [0.1])
        assert with_it.skipped == ("asked" if index == 1 else None)
    for index in (0, 2):
        without(Update(index, 0, 6, [_batch(index)], (0, 6)), [0.1])
    first, second = dict(with_it.engine.parameters()), dict(without.engine.parameters())
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_hook_that_makes_the_gradient_infinite_is_caught() -> None:
    class Dividing(Strategy):
        def gradients(self, step: Step) -> None:
            assert step.gradients is not None
            name = next(iter(step.gradients.names()))
            step.gradients[name] = step.gradients[name] / 0

    updater = _updater(Dividing(), Guard("skip"))
    before = _state(updater)
    updater(Update(0, 0, 6, [_batch(0)], (0, 6)), [0.1])
    assert updater.skipped == "the gradient was not finite"
    assert torch.equal(before["model.model.0.weight"], _state(updater)["model.model.0.weight"])


def test_the_loss_of_an_update_is_that_of_the_global_batch() -> None:
    updater = _updater(strategy := Watching())
    batch = _batch(0)
    halves = [
        {name: value[part] for name, value in batch.items()} for part in (slice(4), slice(4, 6))
    ]
    sums = updater(Update(0, 0, 6, halves, (0, 6)), [0.1])
    assert strategy.judged == [pytest.approx(float(sums["train/loss"]))]


def test_before_backward_there_is_no_loss() -> None:
    class Asking(Strategy):
        def step(self, step: Step, take: Callable[[], None]) -> None:
            step.training_loss()

    with pytest.raises(RuntimeError, match=r"needs backward\(\) first"):
        _updater(Asking())(Update(0, 0, 6, [_batch(0)], (0, 6)), [0.1])


def test_a_loss_hook_may_return_what_is_not_finite_without_a_strategy_noticing() -> None:
    class Poison(Strategy):
        def loss(self, batch: Any, compute: Any) -> Loss:
            loss = compute(batch)
            return Loss(loss.value * math.nan, loss.logged)

    updater = _updater(Poison(), Guard("skip"))
    assert updater(Update(0, 0, 6, [_batch(0)], (0, 6)), [0.1]) == {}
    assert updater.skipped == "the loss was not finite"
