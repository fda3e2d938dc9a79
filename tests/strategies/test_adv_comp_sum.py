"""Adversarial comp-sum against a plain loop, by its ascent, and in a whole job."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trainwright
from trainwright.strategy import Context, Loss, Strategy
from trainwright_objectives.comp_sum import comp_sum
from trainwright_objectives.smooth_adv_comp_sum import SmoothAdvCompSum, margin_shift
from trainwright_strategies.adv_comp_sum import AdvCompSum

SIZE, EPS, STEPS, NU = 9, 0.3, 4, 0.7
OPTIONS = {"eps": EPS, "steps": STEPS, "step_size": 0.1, "clip": None}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).double()


def batch_of() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(SIZE, 6, dtype=torch.float64, generator=generator),
        "target": torch.randint(4, (SIZE,), generator=generator),
        "sample_id": torch.arange(20, 20 + SIZE),
    }


def by_hand(model: nn.Module, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and shift of the method, one sample after another."""
    losses, shifts = [], []
    noise = Context(seed=0).rng("adv_comp_sum", "sample", batch["sample_id"]).uniform((6,))
    for x, target, draw in zip(batch["x"], batch["target"], noise, strict=True):

        def margins(point: torch.Tensor, y: int = int(target)) -> torch.Tensor:
            logits = model(point)
            return torch.stack([logits[y] - logits[k] for k in range(4) if k != y])

        fixed = margins(x).detach()
        moved = x + EPS * (2 * draw.double() - 1)
        for _ in range(STEPS):
            moved = moved.detach().requires_grad_()
            (margins(moved) - fixed).square().sum().sqrt().backward()
            stepped = moved + 0.1 * moved.grad.sign()
            moved = torch.minimum(torch.maximum(stepped, x - EPS), x + EPS)
        shift = (margins(moved.detach()) - margins(x)).square().sum().sqrt()
        losses.append(comp_sum(model(x)[None], target[None], 1.5) + NU * shift)
        shifts.append(shift)
    model.zero_grad()
    return torch.stack(losses).mean(), torch.stack(shifts).mean()


def test_loss_and_gradient_are_those_of_a_plain_loop(training: Any) -> None:
    model, batch = network(), batch_of()
    run = training(copy.deepcopy(model), SmoothAdvCompSum(1.5, nu=NU), AdvCompSum(**OPTIONS))
    expected, shift = by_hand(model, batch)
    expected.backward()
    value, grads = run.gradient(batch)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-9, atol=0)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(grads[name], parameter.grad, rtol=1e-8, atol=1e-12)
    logged = run.compute(batch).logged["margin_shift"]
    torch.testing.assert_close(logged, shift.detach(), rtol=1e-9, atol=0)


def test_the_ascent_moves_margins_further_than_chance(training: Any) -> None:
    batch = batch_of()
    found = []
    for steps in (1, 10):
        strategy = AdvCompSum(EPS, steps=steps, step_size=1e-9 if steps == 1 else None, clip=None)
        run = training(network(), SmoothAdvCompSum(), strategy)
        outputs = strategy._both(batch, run.compute._inner)
        found.append(margin_shift(outputs["logits"], outputs["adv_logits"], batch["target"]))
    assert (found[1] >= found[0]).all()
    assert found[1].mean() > 1.5 * found[0].mean()


def test_radius_zero_is_the_comp_sum_loss(training: Any) -> None:
    model, batch = network(), batch_of()
    value, grads = training(model, SmoothAdvCompSum(0.5), AdvCompSum(0.0)).gradient(batch)
    plain, expected = training(model, SmoothAdvCompSum(0.5)).gradient(batch)
    assert value == plain
    assert value == comp_sum(model(batch["x"]), batch["target"], 0.5)
    assert all(torch.equal(grads[name], expected[name]) for name in grads)


def test_strategies_further_out_get_the_loss_of_each_sample(training: Any) -> None:
    class Weighing(Strategy):
        def loss(self, batch, compute):
            self.each = compute.per_sample(batch)
            return Loss(self.each.mean())

    outer, batch = Weighing(), batch_of()
    run = training(network(), SmoothAdvCompSum(1.5, nu=NU), outer, AdvCompSum(**OPTIONS))
    run.gradient(batch)
    expected, _ = by_hand(run.model, batch)
    assert outer.each.shape == (SIZE,)
    torch.testing.assert_close(outer.each.mean(), expected, rtol=1e-9, atol=0)


def test_an_objective_without_perturbed_outputs_is_refused(training: Any) -> None:
    with pytest.raises(ValueError, match="use the objective smooth_adv_comp_sum"):
        training(network(), nn.CrossEntropyLoss(), AdvCompSum(0.1))
    training(network(), nn.CrossEntropyLoss(), AdvCompSum(0.0))


def test_ill_options() -> None:
    with pytest.raises(ValueError, match="random_start must be true"):
        AdvCompSum(0.1, random_start=False)
    with pytest.raises(ValueError, match="eps must be a number of at least 0"):
        AdvCompSum(-0.1)


def test_a_whole_job_gets_more_robust(tmp_path: Path) -> None:
    attack = {"eps": 0.1, "steps": 5}
    job = {
        "name": "robust",
        "data": {"source": "digits", "batch_size": 64, "validation": 0.3},
        "model": {"name": "mlp", "hidden": [32]},
        "objective": {"name": "smooth_adv_comp_sum", "nu": 0.1},
        "optimizer": {"name": "adam", "lr": 4e-3},
        "training": {"epochs": 6, "evaluate_every": "6 epochs"},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(tmp_path),
    }
    found = []
    for strategies in ([], [{"name": "adv_comp_sum", **attack}]):
        probe = {"name": "robust_accuracy", **attack}
        run = trainwright.run({**job, "strategies": [*strategies, probe]})
        found.append(run.metrics["validation/robust_accuracy"])
    assert found[1] > found[0] + 0.05
