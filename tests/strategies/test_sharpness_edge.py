"""Where descent becomes unstable: with momentum, and with the factors of Adam."""

from __future__ import annotations

import math

import pytest
import torch
from hessian_step import HessianStep
from torch import Tensor

from trainwright.strategy import Context, Plan
from trainwright_strategies.sharpness import Sharpness, adam_preconditioner, stability_limit


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.0, False), (0.9, False), (0.9, True)])
def test_descent_is_stable_below_the_limit_and_not_above(momentum: float, nesterov: bool) -> None:
    """On a quadratic of curvature 3 with torch's own optimizer."""
    options = {"momentum": momentum, "nesterov": nesterov}
    rate = stability_limit(3.0, momentum, nesterov)  # limit and rate may change places
    for factor, stable in ((0.99, True), (1.01, False)):
        weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
        stepper = torch.optim.SGD([weight], lr=factor * rate, **options)
        for _ in range(400):
            stepper.zero_grad()
            (1.5 * weight.square()).sum().backward()
            stepper.step()
        assert (abs(float(weight.detach())) < 1) == stable
    assert stability_limit(0.0, momentum) == math.inf


def test_adam_is_stable_below_its_limit_and_not_above() -> None:
    """With a fixed mean of squares, which torch keeps if it forgets nothing."""
    curvature, square, eps = 3.0, 0.25, 0.1
    factor = float(adam_preconditioner(torch.tensor(square), 10**6, 0.999, eps))
    assert factor == pytest.approx(1 / 0.6)
    limit = stability_limit(curvature * factor, momentum=0.9, averaged=True)
    assert limit == pytest.approx(38 / (curvature * factor))
    for share, stable in ((0.99, True), (1.01, False)):
        weight = torch.ones(1, dtype=torch.float64, requires_grad=True)
        stepper = torch.optim.Adam([weight], lr=share * limit, betas=(0.9, 1 - 1e-15), eps=eps)
        stepper.state[weight] = {
            "step": torch.tensor(1e18),  # so that nothing is corrected for
            "exp_avg": torch.zeros(1, dtype=torch.float64),
            "exp_avg_sq": torch.full((1,), square, dtype=torch.float64),
        }
        peak = 0.0  # far out it changes its mean of squares, and comes back
        for _ in range(400):
            stepper.zero_grad()
            (0.5 * curvature * weight.square()).sum().backward()
            stepper.step()
            peak = max(peak, abs(float(weight.detach())))
        assert (peak < 100) == stable


def test_the_preconditioner_is_adams() -> None:
    """Against the first steps of torch's: what is moved over its mean of gradients."""
    torch.manual_seed(0)
    weight = torch.randn(5, dtype=torch.float64, requires_grad=True)
    stepper = torch.optim.Adam([weight], lr=0.01, betas=(0.9, 0.99), eps=1e-3)
    for updates in range(1, 4):
        before = weight.detach().clone()
        weight.grad = torch.randn(5, dtype=torch.float64)
        stepper.step()
        state = stepper.state[weight]
        factor = adam_preconditioner(state["exp_avg_sq"], updates, 0.99, 1e-3)
        mean = state["exp_avg"] / (1 - 0.9**updates)
        torch.testing.assert_close(before - weight.detach(), 0.01 * factor * mean)


def test_preconditioned_from_the_first_update_on() -> None:
    probe, context = Sharpness(every=1, iterations=200, preconditioned=True), Context(seed=0)
    options = {"lr": 0.2, "betas": [0.8, 0.99], "eps": 0.5}
    probe.plan(Plan(None, 1, 8, None, options, {}, "adamw"))
    weights = {"a": torch.ones(2), "b": torch.ones(1)}
    probe.parameters([{"params": [("a", weights["a"])]}, {"params": [("b", 0)], "lr": 0.8}])
    probe.begin(context)
    hessian = torch.tensor([[3.0, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 2.0]])
    squares = {"a": torch.tensor([0.01, 0.04]), "b": torch.tensor([0.09])}

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        flat = torch.cat([*parameters.values()])
        return flat @ hessian @ flat / 2

    step = HessianStep(loss, weights, 0.2)
    step.moments = lambda kind, names: {"exp_avg_sq": squares}[kind]
    probe.step(step, lambda: None)
    assert not context.take_logged()
    probe.step(step, lambda: None)
    found = context.take_logged()
    root = (1 / (torch.tensor([0.1, 0.2, 0.3]) * 10 + 0.5) * torch.tensor([1.0, 1.0, 4.0])).sqrt()
    expected = float(torch.linalg.eigvalsh(root[:, None] * hessian * root)[-1])
    assert float(found["sharpness/top"]) == pytest.approx(expected, rel=1e-5)
    limit = 2 * 1.8 / (0.2 * 0.2)
    assert found["sharpness/edge"] == pytest.approx(expected / limit, rel=1e-5)
    again = Sharpness()
    again.load_state_dict(probe.state_dict())
    assert again._updates == 2
    again.phase_begin("next")
    assert again._updates == 0
    with pytest.raises(ValueError, match="preconditioned is for adam and adamw, got sgd"):
        probe.plan(Plan(None, 1, 8, None, {"lr": 0.1}, {}, "sgd"))
