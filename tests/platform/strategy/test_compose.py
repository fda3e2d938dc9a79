"""How strategies compose: the order of surgery, the nesting of middleware, given outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Context, Loss, Plan, Step, Strategy
from trainwright.strategy.base import overrides
from trainwright.strategy.compose import (
    apply_model,
    apply_objective,
    apply_parameters,
    apply_plan,
    using,
    wrap_loss,
    wrap_step,
)


class Recorder(Strategy):
    """Writes down when each of its hooks runs."""

    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self.events = events

    def plan(self, plan: Plan) -> Plan:
        return Plan(**{**vars(plan), "optimizer": {"by": [*plan.optimizer["by"], self.name]}})

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        return nn.Sequential(model, Named(self.name))

    def objective(self, objective: nn.Module) -> nn.Module:
        return nn.Sequential(Named(self.name), objective)

    def parameters(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [*groups, {"params": [], "by": self.name}]

    def step(self, step: Step, take) -> None:
        self.events.append(f"{self.name} before")
        take()
        self.events.append(f"{self.name} after")

    def loss(self, batch, compute) -> Loss:
        self.events.append(f"{self.name} before")
        loss = compute(batch)
        self.events.append(f"{self.name} after")
        return loss.plus(torch.tensor(1.0), self.name)


class Named(nn.Identity):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


class Leaf:
    """The innermost compute: counts its calls and what it was given."""

    couples = "group"

    def __init__(self, events: list[str] | None = None) -> None:
        self.events = [] if events is None else events
        self.forwards = 0
        self.given: list[Mapping[str, Tensor] | None] = []

    def forward(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        self.forwards += 1
        return {"y": 2 * batch["x"]}

    def __call__(self, batch, outputs=None) -> Loss:
        self.events.append("objective")
        self.given.append(outputs)
        outputs = self.forward(batch) if outputs is None else outputs
        return Loss(outputs["y"].mean(), {"mean": outputs["y"].mean().detach()})

    def per_sample(self, batch, outputs=None) -> Tensor:
        return (self.forward(batch) if outputs is None else outputs)["y"]


def names_in(module: nn.Module) -> list[str]:
    return [m.name for m in module.modules() if isinstance(m, Named)]


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def pair(events: list[str]) -> list[Recorder]:
    return [Recorder("first", events), Recorder("second", events)]


BATCH = {"x": torch.tensor([1.0, 2.0, 3.0])}


def test_plan_and_parameters_pass_in_job_order(pair) -> None:
    plan = apply_plan(pair, Plan(1, None, 8, None, {"by": []}, {}))
    assert plan.optimizer == {"by": ["first", "second"]}
    groups = apply_parameters(pair, [{"params": []}])
    assert [group.get("by") for group in groups] == [None, "first", "second"]


def test_later_model_surgery_sees_the_earlier(pair) -> None:
    model = apply_model(pair, nn.Linear(1, 1), Context(seed=0))
    assert names_in(model) == ["first", "second"]
    assert model[1].name == "second"


def test_first_objective_wrapper_is_outermost(pair) -> None:
    objective = apply_objective(pair, nn.MSELoss())
    assert objective[0].name == "first"
    assert names_in(objective) == ["first", "second"]


def test_step_nests_with_the_first_outermost(pair, events) -> None:
    step = Step(0, 0, [], [], nn.Identity())
    wrap_step(pair, step, lambda: events.append("take"))()
    assert events == ["first before", "second before", "take", "second after", "first after"]


def test_a_step_may_be_taken_several_times_or_not_at_all(pair, events) -> None:
    class Twice(Strategy):
        def step(self, step, take) -> None:
            take()
            take()

    class Never(Strategy):
        def step(self, step, take) -> None:
            return

    step = Step(0, 0, [], [], nn.Identity())
    wrap_step([Twice()], step, lambda: events.append("take"))()
    assert events == ["take", "take"]
    wrap_step([Never(), *pair], step, lambda: events.append("take"))()
    assert events == ["take", "take"]


def test_loss_nests_with_the_first_outermost(pair, events) -> None:
    loss = wrap_loss(pair, Leaf(events))(BATCH)
    assert events == ["first before", "second before", "objective", "second after", "first after"]
    assert list(loss.logged) == ["mean", "second", "first"]
    assert loss.value == 4.0 + 2.0


class GivesOutputs(Strategy):
    """Runs the forward pass itself and hands on other outputs."""

    def loss(self, batch, compute) -> Loss:
        outputs = compute.forward(batch)
        return compute(batch, {"y": outputs["y"] + 1})


class TakesOutputs(Strategy):
    """Asks for outputs, and calls on without naming them."""

    def loss(self, batch, compute) -> Loss:
        self.seen = compute.forward(batch)["y"]
        self.each = compute.per_sample(batch)
        self.couples = compute.couples
        return compute(batch)


def test_given_outputs_reach_the_objective_without_another_forward() -> None:
    leaf, inner = Leaf(), TakesOutputs()
    loss = wrap_loss([GivesOutputs(), inner], leaf)(BATCH)
    given = 2 * BATCH["x"] + 1
    assert leaf.forwards == 1
    assert torch.equal(inner.seen, given)
    assert torch.equal(inner.each, given)
    assert torch.equal(leaf.given[0]["y"], given)
    assert loss.value == given.mean()


def test_outputs_given_further_in_win() -> None:
    leaf = Leaf()
    loss = wrap_loss([GivesOutputs(), GivesOutputs()], leaf)(BATCH)
    assert leaf.forwards == 1
    assert loss.value == (2 * BATCH["x"] + 2).mean()


def test_outputs_given_to_the_whole_stack() -> None:
    leaf, inner = Leaf(), TakesOutputs()
    compute = wrap_loss([inner], leaf)
    assert compute(BATCH, {"y": torch.tensor([7.0])}).value == 7.0
    assert leaf.forwards == 0
    assert inner.seen == 7.0


def test_without_given_outputs_each_call_runs_the_model() -> None:
    class Twice(Strategy):
        def loss(self, batch, compute) -> Loss:
            return Loss.mean([compute(batch), compute({"x": 3 * batch["x"]})])

    leaf = Leaf()
    loss = wrap_loss([Twice()], leaf)(BATCH)
    assert leaf.forwards == 2
    assert leaf.given == [None, None]
    assert loss.value == 8.0
    assert loss.logged["mean"] == 8.0


def test_coupling_and_per_sample_are_those_of_the_objective() -> None:
    leaf, inner = Leaf(), TakesOutputs()
    compute = wrap_loss([GivesOutputs(), inner], leaf)
    assert compute.couples == "group"
    assert torch.equal(compute.per_sample(BATCH), 2 * BATCH["x"])
    assert torch.equal(compute.per_sample(BATCH, {"y": BATCH["x"]}), BATCH["x"])
    compute(BATCH)
    assert inner.couples == "group"


def test_hooks_that_are_not_overridden_cost_nothing(pair) -> None:
    leaf = Leaf()

    def take() -> None:
        return

    assert wrap_loss([Strategy(), Strategy()], leaf) is leaf
    assert wrap_step([Strategy()], Step(0, 0, [], [], nn.Identity()), take) is take
    assert using([Strategy(), *pair, Strategy()], "step") == pair
    assert using([Strategy(), *pair], "updated") == []


def test_overrides_sees_inherited_hooks() -> None:
    class Child(TakesOutputs):
        pass

    assert overrides(Child(), "loss")
    assert not overrides(Child(), "step")


def test_no_strategies_change_nothing() -> None:
    plan, model, objective = Plan(1, None, 8, None, {}, {}), nn.Linear(1, 1), nn.MSELoss()
    groups: list[dict[str, Any]] = [{"params": []}]
    assert apply_plan([], plan) is plan
    assert apply_model([], model, Context(seed=0)) is model
    assert apply_objective([], objective) is objective
    assert apply_parameters([], groups) is groups
