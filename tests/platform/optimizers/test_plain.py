"""Steps without torch's wrappers equal those with them, bit for bit, and no hook is passed over."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from trainwright.optimizers.plain import spare_compiler

OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
    "Adam": {"lr": 0.1, "amsgrad": True},
    "AdamW": {"lr": 0.1},
    "Adagrad": {"lr": 0.1},
    "RMSprop": {"lr": 0.1, "centered": True},
    "NAdam": {"lr": 0.1},
    "Rprop": {"lr": 0.1},
    "ASGD": {"lr": 0.1},
}


def optimizer_of(name: str) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    parameter = nn.Parameter(torch.linspace(-1, 1, 7))
    return parameter, getattr(torch.optim, name)([parameter], **OPTIONS[name])


@pytest.mark.parametrize("name", OPTIONS)
def test_the_same_steps(name: str) -> None:
    plain, usual = optimizer_of(name), optimizer_of(name)
    spare_compiler(plain[1])
    assert plain[1].step.__func__ is not usual[1].step.__func__
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        gradient = torch.randn(7, generator=generator)
        for parameter, _ in (plain, usual):
            parameter.grad = gradient.clone()
        plain[1].step()
        usual[1].step()
        assert plain[0].equal(usual[0])
    assert not plain[0].equal(torch.linspace(-1, 1, 7))
    assert plain[0].requires_grad
    assert plain[0].grad_fn is None


def test_hooks_are_kept() -> None:
    parameter, optimizer = optimizer_of("SGD")
    called: list[str] = []
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    spare_compiler(optimizer)
    parameter.grad = torch.ones(7)
    optimizer.step()
    assert called == ["after"]


def test_hooks_and_closures_that_come_later_are_kept() -> None:
    parameter, optimizer = optimizer_of("SGD")
    spare_compiler(optimizer)
    called: list[str] = []
    hook = optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    parameter.grad = torch.ones(7)
    optimizer.step()
    hook.remove()
    optimizer.step()
    assert optimizer.step(lambda: called.append("closure") or 3.0) == 3.0
    assert called == ["before", "closure"]


def test_gradients_are_cleared_as_usual() -> None:
    for to_none in (True, False):
        parameter, optimizer = optimizer_of("SGD")
        spare_compiler(optimizer)
        parameter.grad = torch.ones(7)
        optimizer.zero_grad(set_to_none=to_none)
        assert parameter.grad is None if to_none else parameter.grad.equal(torch.zeros(7))


def test_a_copy_moves_its_own_weights() -> None:
    parameter, optimizer = optimizer_of("SGD")
    spare_compiler(optimizer)
    other = copy.deepcopy(optimizer)
    (copied,) = other.param_groups[0]["params"]
    copied.grad = torch.ones(7)
    other.step()
    assert parameter.equal(torch.linspace(-1, 1, 7))
    assert not copied.equal(parameter)


def test_others_are_left_as_they_are() -> None:
    class Own(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            raise ZeroDivisionError

    optimizer = Own([nn.Parameter(torch.ones(1))], lr=0.1)
    spare_compiler(optimizer)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()


def test_schedules_of_torch_go_with_it() -> None:
    parameter, optimizer = optimizer_of("SGD")
    spare_compiler(optimizer)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    parameter.grad = torch.ones(7)
    optimizer.step()
    schedule.step()
    assert not parameter.equal(torch.linspace(-1, 1, 7))
    assert optimizer.param_groups[0]["lr"] == 0.05
