"""Doubly robust adversarial training: whole updates against plain loops, and its limits."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context, Declares
from trainwright.strategy.checks import Setting, check_strategies
from trainwright.training.feed import Update
from trainwright.training.update import Updater
from trainwright_objectives.kl_dro import KlDro
from trainwright_strategies.done_at import DoneAt, barrier_gradient, barrier_hessian

UPDATES, SIZE, RATE, EPS = 4, 12, 0.2, 0.3
ROBUST = {"eps": EPS, "steps": 3, "clip": None}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4))


def batches(micro: int = SIZE) -> Iterator[list[dict[str, Tensor]]]:
    """The micro-batches of each update."""
    generator = torch.Generator().manual_seed(1)
    for index in range(UPDATES):
        x = torch.randn(SIZE, 6, generator=generator)
        target = torch.randint(4, (SIZE,), generator=generator)
        ids = torch.arange(SIZE) + SIZE * index
        yield [
            {
                "x": x[i : i + micro],
                "target": target[i : i + micro],
                "sample_id": ids[i : i + micro],
            }
            for i in range(0, SIZE, micro)
        ]


def trained(strategies: list[DoneAt], objective: nn.Module, micro: int = SIZE) -> nn.Module:
    """The model after all updates by the platform's engine."""
    model = network()
    context = Context(seed=0)
    terms = WeightedSum([Term(objective, "loss")])
    module = TrainModule(NamedModel(model, {"input": "x"}), terms)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
    engine = LocalEngine(module, optimizer, EngineSettings())
    updater = Updater(engine, terms, strategies)
    for strategy in strategies:
        strategy.begin(context)
    for index, parts in enumerate(batches(micro)):
        context.update = index
        updater(Update(index, 0, SIZE, parts, (0, SIZE)), [RATE])
    return model


def attacked(model: nn.Module, batch: dict[str, Tensor], update: int, c: float) -> Tensor:
    """Projected ascent on the loss with the barrier, one sample after another."""
    radius = EPS * 0.999 if c else EPS
    rng = Context(seed=0, update=update).rng("done_at", "sample", batch["sample_id"])
    found = []
    for x, target, draw in zip(batch["x"], batch["target"], rng.uniform((6,)), strict=True):
        moved = x + radius * (2 * draw - 1)
        for _ in range(3):
            delta = (moved - x).detach().requires_grad_()
            loss = cross_entropy(model(x + delta)[None], target[None])
            (slope,) = torch.autograd.grad(loss, delta)
            if c:
                inside = delta.detach().clamp(-radius, radius).requires_grad_()
                barrier = -torch.log(EPS - inside) - torch.log(EPS + inside)
                slope = slope - c * torch.autograd.grad(barrier.sum(), inside)[0]
            moved = x + (moved + EPS / 4 * slope.sign() - x).clamp(-radius, radius)
        found.append(moved)
    return torch.stack(found).detach()


def by_hand(temperature: float | None, eta: float, barrier: float, implicit: bool) -> nn.Module:
    model, u, c = network(), None, barrier * EPS**2
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for index, (batch,) in enumerate(batches()):
        moved = attacked(model, batch, index, c).requires_grad_()
        each = cross_entropy(model(moved), batch["target"], reduction="none")
        weights = torch.ones(SIZE)
        if temperature is not None:
            powers = (each.detach() / temperature).exp()
            u = powers.mean() if u is None else (1 - eta) * u + eta * powers.mean()
            weights = powers / u
        loss = (weights * each).mean()
        if implicit:
            (slope,) = torch.autograd.grad(each.sum(), moved, create_graph=True)
            delta = (moved - batch["x"]).detach()
            curvature = c * (1 / (EPS - delta) ** 2 + 1 / (EPS + delta) ** 2)
            loss = loss + (weights * (slope.detach() / curvature * slope).sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


def assert_same(first: nn.Module, second: nn.Module, tolerance: float = 1e-5) -> None:
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("micro", [SIZE, 5])
@pytest.mark.parametrize(
    ("temperature", "eta", "barrier", "implicit"),
    [
        (1.0, 0.5, 0.0, False),
        (0.5, 0.2, 0.1, False),
        (None, 0.5, 0.0, False),
        (1.0, 0.5, 0.5, True),
        (None, 0.5, 0.5, True),
    ],
)
def test_updates_are_those_of_a_plain_loop(
    temperature: float | None, eta: float, barrier: float, implicit: bool, micro: int
) -> None:
    strategy = DoneAt(
        **ROBUST, temperature=temperature, eta=eta, barrier=barrier, implicit=implicit
    )
    found = trained([strategy], nn.CrossEntropyLoss(), micro)
    assert_same(found, by_hand(temperature, eta, barrier, implicit))


def test_without_perturbation_it_is_kl_dro() -> None:
    robust = trained([DoneAt(eps=0.0, temperature=0.7, eta=1.0)], nn.CrossEntropyLoss())
    assert_same(robust, trained([], KlDro(0.7)))
    averaged = trained([DoneAt(eps=0.0, temperature=0.7, eta=0.3)], nn.CrossEntropyLoss())
    assert_same(averaged, trained([], KlDro(0.7, eta=0.3)))
    plain = trained([], nn.CrossEntropyLoss())
    with pytest.raises(AssertionError):
        assert_same(robust, plain)


def test_a_high_temperature_is_plain_adversarial_training() -> None:
    hot = trained([DoneAt(**ROBUST, temperature=1e6)], nn.CrossEntropyLoss())
    assert_same(hot, trained([DoneAt(**ROBUST, temperature=None)], nn.CrossEntropyLoss()), 1e-4)


def test_equal_losses_weigh_the_same() -> None:
    model = network()
    for parameter in model[2].parameters():
        nn.init.zeros_(parameter)
    strategy, context = DoneAt(eps=0.0, temperature=0.1), Context(seed=0)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "loss")])
    module = TrainModule(NamedModel(model, {"input": "x"}), terms)
    engine = LocalEngine(module, torch.optim.SGD(module.parameters(), lr=RATE), EngineSettings())
    expected = copy.deepcopy(model)
    strategy.begin(context)
    (batch,) = next(batches())
    Updater(engine, terms, [strategy])(Update(0, 0, SIZE, [batch], (0, SIZE)), [RATE])
    cross_entropy(expected(batch["x"]), batch["target"]).backward()
    torch.optim.SGD(expected.parameters(), lr=RATE).step()
    assert_same(model, expected, 1e-7)
    largest = context.take_logged()["done_at/largest_weight"]
    assert float(largest) == pytest.approx(1 / SIZE)


def test_worked_implicit_gradient() -> None:
    """l' = d^2 / 2 - theta d with a barrier of factor 0.1 on (-1, 1), and l = (theta d - 0.3)^2."""
    one = torch.tensor(1.0, dtype=torch.float64)

    def best(theta: float) -> Tensor:
        delta = 0.0 * one
        for _ in range(100):
            slope = delta - theta + 0.1 * barrier_gradient(delta, 1.0)
            delta = delta - slope / (1 + 0.1 * barrier_hessian(delta, 1.0))
        return delta

    theta, delta = 0.6, best(0.6)
    hessian = 1 + 0.1 * barrier_hessian(delta, 1.0)
    assert delta.item() == pytest.approx(0.476646, abs=1e-6)
    assert hessian.item() == pytest.approx(1.410959, abs=1e-6)
    residual = theta * delta - 0.3
    direct, outer, mixed = 2 * residual * delta, 2 * residual * theta, -1.0
    gradient = direct - mixed / hessian * outer
    assert gradient.item() == pytest.approx(-0.025275, abs=1e-6)
    step = 1e-5
    ends = [((t * best(t)) - 0.3) ** 2 for t in (theta + step, theta - step)]
    assert gradient.item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), rel=1e-6)


def test_perturbations_keep_clear_of_the_barrier() -> None:
    strategy = DoneAt(eps=EPS, barrier=0.01)
    x = torch.rand(5, 3)
    pushed = strategy.attack(
        x, torch.ones_like, Context(seed=0).rng("a", "sample", torch.arange(5))
    )
    assert ((pushed - x).abs() < EPS).all()
    assert barrier_gradient(strategy._delta(x + EPS, x), EPS).isfinite().all()


def test_the_normaliser_is_kept() -> None:
    strategy, other = DoneAt(0.1), DoneAt(0.1)
    assert math.isnan(strategy.state_dict()["log_u"])
    strategy.load_state_dict({"log_u": 1.25})
    other.load_state_dict(strategy.state_dict())
    assert other.state_dict() == {"log_u": 1.25}


def test_the_implicit_gradient_is_refused_at_stage_3() -> None:
    for implicit in (False, True):
        strategy = DoneAt(0.1, implicit=implicit)
        found = check_strategies({"done_at": strategy}, Setting("deepspeed", 3, "fp32", True))
        assert bool(found) == implicit
    assert isinstance(DoneAt.declares, Declares)
    assert not DoneAt.declares.second_backward


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"eta": 0.0}, "eta must be above 0 and at most 1"),
        ({"barrier": -1.0}, "barrier must be at least 0, got -1.0"),
        ({"eps": -1.0}, "eps must be a number of at least 0"),
        ({"implicit": True, "barrier": 0.0}, "implicit needs eps and barrier above 0"),
        ({"implicit": True, "eps": 0.0}, "implicit needs eps and barrier above 0"),
        ({"direction": "up"}, "direction must be one of steepest, gradient, adam"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DoneAt(**{"eps": 0.1, **options})
