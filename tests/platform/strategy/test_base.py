"""The parts of the protocol: losses, the base class's defaults, random numbers, logging."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from trainwright.strategy import Context, Declares, Loss, Plan, Step, Strategy


def test_mean_of_losses_averages_value_gradient_and_scalars() -> None:
    w = torch.tensor(2.0, requires_grad=True)
    losses = [Loss(k * w, {"k": torch.tensor(float(k))}) for k in (1, 2, 6)]
    mean = Loss.mean(losses)
    mean.value.backward()
    assert mean.value == 6.0
    assert w.grad == 3.0
    assert mean.logged["k"] == 3.0


def test_mean_of_one_loss_is_that_loss() -> None:
    loss = Loss(torch.tensor(0.1), {"k": torch.tensor(0.3)})
    assert torch.equal(Loss.mean([loss]).value, loss.value)
    assert torch.equal(Loss.mean([loss]).logged["k"], loss.logged["k"])


def test_penalty_is_optimised_and_recorded_without_gradient() -> None:
    w = torch.tensor(2.0, requires_grad=True)
    loss = Loss(w, {"a": torch.tensor(1.0)}).plus(w * w, "penalty")
    loss.value.backward()
    assert w.grad == 5.0
    assert loss.logged.keys() == {"a", "penalty"}
    assert not loss.logged["penalty"].requires_grad


def test_the_base_class_does_nothing() -> None:
    strategy, context = Strategy(), Context(seed=0)
    plan, model, objective = Plan(1, None, 8, None, {}, {}), nn.Linear(1, 1), nn.MSELoss()
    groups = [{"params": []}]
    taken: list[int] = []
    assert strategy.plan(plan) is plan
    assert strategy.model(model, context) is model
    assert strategy.objective(objective) is objective
    assert strategy.parameters(groups) is groups
    strategy.step(Step(0, 0, [], [], model), lambda: taken.append(1))
    assert taken == [1]
    loss = Loss(torch.tensor(1.0))
    assert strategy.loss({}, lambda batch: loss) is loss
    assert strategy.evaluated({"validation/loss": 1.0}) is False
    assert list(strategy.needs_metrics()) == []
    assert strategy.state_dict() == {}


def test_every_hook_stands_in_the_loop_of_the_docstring() -> None:
    hooks = [
        name
        for name, member in inspect.getmembers(Strategy, inspect.isfunction)
        if not name.startswith("_") and name not in ("load_state_dict", "needs_metrics")
    ]
    missing = [name for name in hooks if f"strategies.{name}(" not in Strategy.__doc__]
    assert missing == []


def test_declares_takes_only_names() -> None:
    with pytest.raises(TypeError):
        Declares(("local",))  # type: ignore[misc]
    assert Declares().neutral is None


def draws(context: Context, name: str = "noise", **scope) -> list[float]:
    return torch.rand(4, generator=context.rng(name, **scope)).tolist()


def test_random_numbers_are_a_function_of_seed_name_and_update() -> None:
    base = draws(Context(seed=1, update=5))
    other = Context(seed=1, update=5)
    draws(other, "something else")
    assert draws(other) == base
    assert draws(Context(seed=2, update=5)) != base
    assert draws(Context(seed=1, update=6)) != base
    assert draws(Context(seed=1, update=5), "other") != base


def test_random_numbers_by_rank() -> None:
    contexts = [Context(seed=1, rank=rank, world_size=2) for rank in (0, 1)]
    assert draws(contexts[0]) == draws(contexts[1])
    assert draws(contexts[0], scope="rank") != draws(contexts[1], scope="rank")
    assert draws(contexts[0], scope="rank") != draws(contexts[0])


def test_logged_values_are_handed_over_once_and_without_gradient() -> None:
    context = Context(seed=0)
    context.log({"norm": torch.ones(1, requires_grad=True).sum(), "mine/count": 2.0})
    logged = context.take_logged()
    assert logged.keys() == {"strategy/norm", "mine/count"}
    assert not logged["strategy/norm"].requires_grad
    assert context.take_logged() == {}


def test_numbers_of_a_sample_are_its_own() -> None:
    context, ids = Context(seed=3), torch.tensor([5, 1, 9])
    both = context.rng("noise", "sample", ids)
    alone = context.rng("noise", "sample", ids[1:2])
    assert torch.equal(both.normal((2,))[1], alone.normal((2,))[0])
    assert torch.equal(both.uniform((2,)), both.uniform((2,)))
    assert both.integers(0, 7).shape == (3,)
    context.update = 1
    assert not torch.equal(context.rng("noise", "sample", ids).uniform(), both.uniform())
    other = Context(seed=3, rank=1, world_size=2)
    assert torch.equal(other.rng("noise", "sample", ids).uniform(), both.uniform())
    context.update = 0
    assert not torch.equal(context.rng("mask", "sample", ids).uniform(), both.uniform())
    with pytest.raises(ValueError, match="needs ids"):
        context.rng("noise", "sample")  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="other scopes take none"):
        context.rng("noise", "rank", ids)  # type: ignore[call-overload]
