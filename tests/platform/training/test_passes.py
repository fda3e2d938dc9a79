"""Passes beside training leave batch normalisation alone, and graphs that are open usable."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Batch, Compute, Loss, Step, Strategy
from trainwright.training.differentiation import kept_buffers
from trainwright.training.feed import Update
from trainwright.training.update import Updater

SIZE = 8


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))


def smooth() -> nn.Module:
    """Whose samples do not look at each other."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))


def batch_of() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(SIZE, 5, generator=generator),
        "target": torch.randint(3, (SIZE,), generator=generator),
    }


def updated(strategy: Strategy, model: nn.Module | None = None) -> nn.Module:
    model = model or network()
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "loss")])
    module = TrainModule(NamedModel(model, {"input": "x"}), terms)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
    updater = Updater(LocalEngine(module, optimizer, EngineSettings()), terms, [strategy])
    updater(Update(0, 0, SIZE, [batch_of()], (0, SIZE)), [0.5])
    return model


def moved(*losses: Tensor, model: nn.Module) -> nn.Module:
    torch.stack(losses).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    return model


def assert_same(first: nn.Module, second: nn.Module) -> None:
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], msg=name)


class Measured(Strategy):
    """The gradient of a loss that runs the model itself, once and again."""

    def step(self, step: Step, take: object) -> None:
        def loss(batch: Batch) -> Tensor:
            first, second = (step.forward(batch)["logits"] for _ in range(2))
            return first.square().mean() + second.sin().mean()

        step.set_gradient(step.gradient(loss))
        step.update()


def test_a_measured_gradient_goes_through_batch_normalisation() -> None:
    model, x = network(), batch_of()["x"]
    statistics = {n: b.clone() for n, b in model.named_buffers()}
    expected = moved(model(x).square().mean(), model(x).sin().mean(), model=model)
    for name, buffer in expected.named_buffers():
        buffer.copy_(statistics[name])
    assert_same(updated(Measured()), expected)


def direction(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.linspace(-1, 1, w.numel()).view_as(w) for name, w in weights.items()}


class Product(Strategy):
    """The Hessian times a direction, by the samples of the update and by some that are given."""

    def step(self, step: Step, take: object) -> None:
        vector, (whole,) = direction(step.master()), step.batches
        parts = [{n: c[rows] for n, c in whole.items()} for rows in (slice(0, 3), slice(3, SIZE))]
        self.every = [step.hvp(vector, batches=b) for b in (None, [whole], parts)]
        self.first = step.hvp(vector, batches=parts[:1])


def product_by_gradients(rows: slice) -> list[Tensor]:
    """The same by a difference of gradients, in float64."""
    model, batch, eps = smooth().double(), batch_of(), 1e-5
    vector, ends = direction(dict(model.named_parameters())), []
    for shift in (eps, -2 * eps):
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter += shift * vector[name]
        logits = model(batch["x"][rows].double())
        loss = nn.functional.cross_entropy(logits, batch["target"][rows])
        ends.append(torch.autograd.grad(loss, list(model.parameters())))
    return [(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)]


def test_a_hessian_product_is_over_the_samples_that_are_given() -> None:
    """Micro-batches of different sizes count by their samples."""
    strategy = Product()
    updated(strategy, smooth())
    cases = [(found, slice(0, SIZE)) for found in strategy.every] + [(strategy.first, slice(0, 3))]
    for found, rows in cases:
        for value, wanted in zip(found.values(), product_by_gradients(rows), strict=True):
            torch.testing.assert_close(value.double(), wanted, rtol=1e-4, atol=1e-5)
            assert wanted.abs().max() > 1e-3


def noisy() -> nn.Module:
    """With all that a pass moves: running statistics and the generator of the masks."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))


class Looking(Strategy):
    """The loss of the update beforehand, by itself and as what is differentiated."""

    def step(self, step: Step, take: Callable[[], None]) -> None:
        (whole,) = step.batches
        parts = [{n: c[rows] for n, c in whole.items()} for rows in (slice(0, 3), slice(3, SIZE))]
        self.losses = [step.loss(whole).value for _ in range(2)]
        self.slopes = torch.autograd.grad(self.losses[0], list(step.model.parameters()))
        self.gradients = [step.gradient(), step.gradient(step.loss)]
        self.by_parts = [step.gradient(loss, parts) for loss in (None, step.loss)]
        take()
        self.taken = step.sums["train/loss"]  # type: ignore[attr-defined]


def test_a_loss_that_is_looked_at_changes_nothing() -> None:
    strategy, plain = Looking(), Strategy()
    torch.manual_seed(3)
    expected = updated(plain, noisy())
    torch.manual_seed(3)
    assert_same(updated(strategy, noisy()), expected)
    assert strategy.losses[0] == strategy.losses[1] == strategy.taken
    for found, wanted in zip(strategy.gradients[0].values(), strategy.slopes, strict=True):
        torch.testing.assert_close(found, wanted)
    # Inside another pass it is a part of that: masks go on from micro-batch to micro-batch.
    for first, second in (strategy.gradients, strategy.by_parts):
        for name, value in first.items():
            assert torch.equal(value, second[name]), name


class Meanwhile(Strategy):
    """Differentiates by the input while the graph of the loss is open."""

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        outputs = compute.forward(batch)
        slope = compute.input_gradient(batch, ["x"])["x"]
        shifted = compute.forward({**batch, "x": batch["x"] + slope})
        return compute(batch, outputs).plus(shifted["logits"].square().mean(), "shifted")


def test_an_open_graph_survives_a_gradient_by_the_input() -> None:
    batch, model = batch_of(), network()
    probe = copy.deepcopy(model)
    x = batch["x"].clone().requires_grad_()
    (slope,) = torch.autograd.grad(
        nn.functional.cross_entropy(probe(x), batch["target"], reduction="sum"), x
    )
    loss = nn.functional.cross_entropy(model(batch["x"]), batch["target"])
    expected = moved(loss, model(batch["x"] + slope).square().mean(), model=model)
    assert_same(updated(Meanwhile()), expected)


def test_buffers_that_two_modules_share_stay_shared() -> None:
    first, second = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    second.running_mean = first.running_mean
    before = first.running_mean
    with kept_buffers(nn.ModuleList([first, second])):
        assert first.running_mean is second.running_mean
        assert first.running_mean is not before
        first(torch.randn(9, 3))
        assert not torch.equal(second.running_mean, before)
    assert first.running_mean is second.running_mean is before
    assert torch.equal(before, torch.zeros(3))
