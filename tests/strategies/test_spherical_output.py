"""The output layer without outputs in training: against a loop with the ordinary layer."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import trainwright
from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.errors import InputError
from trainwright.models import MLP
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context, Loss, Plan, Strategy
from trainwright.training.feed import Update
from trainwright.training.guard import Guard
from trainwright.training.update import Updater
from trainwright_objectives.z_loss import ZLoss, z_loss
from trainwright_strategies.layers.shrink import Shrink
from trainwright_strategies.layers.spherical_head import REFRESH, SphericalHead, Statistics
from trainwright_strategies.spherical_output import SphericalOutput

STEPS, SIZE, RATE, CLASSES = 8, 18, 0.5, 11


def batch(index: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    x = torch.randn(SIZE, 5, generator=generator)
    return {"x": x, "label": torch.randint(CLASSES, (SIZE,), generator=generator)}


class Case:
    """An updater over a small model, and a copy of what it began with."""

    def __init__(
        self, *outer: Strategy, weight: float = 1.0, width: int = 8, guard: Guard | None = None
    ) -> None:
        torch.manual_seed(0)
        context = Context(seed=0)
        self.model: nn.Module = MLP(5, CLASSES, [width], activation="tanh")
        self.began = copy.deepcopy(self.model)
        self.strategy = SphericalOutput()
        self.model = self.strategy.model(self.model, context)
        terms = WeightedSum([Term(ZLoss(2.0, 1.0), "z", weight, bind={"target": "label"})])
        module = TrainModule(NamedModel(self.model), self.strategy.objective(terms))
        optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
        engine = LocalEngine(module, optimizer, EngineSettings())
        self.updater = Updater(engine, terms, [*outer, self.strategy], guard=guard)
        module.train()

    def train(self, micro: int = SIZE) -> None:
        for index in range(STEPS):
            parts = [
                {name: column[low : low + micro] for name, column in batch(index).items()}
                for low in range(0, SIZE, micro)
            ]
            # Rates fall, as a schedule makes them.
            rate = RATE / (1 + index)
            for group in self.updater.engine.param_groups:
                group["lr"] = rate
            self.updater(Update(index, 0, SIZE, parts, (0, SIZE)), [rate])


def written_out(model: nn.Module, weight: float = 1.0) -> dict[str, Tensor]:
    """Plain SGD on all weights, with all outputs, in float64."""
    model = model.double()
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    for index in range(STEPS):
        optimizer.param_groups[0]["lr"] = RATE / (1 + index)
        optimizer.zero_grad()
        logits = model(batch(index)["x"].double())["logits"]
        (weight * z_loss(logits, batch(index)["label"], 2.0, 1.0)).backward()
        optimizer.step()
    return model.state_dict()


class Weighing(Strategy):
    """Asks for the loss of each sample."""

    def loss(self, batch: Any, compute: Any) -> Any:
        return Loss(compute.per_sample(batch).mean())


@pytest.mark.parametrize(
    ("outer", "micro", "weight", "width"),
    [([], SIZE, 1.0, 8), ([], 7, 0.3, 8), ([Weighing()], 7, 1.0, 8), ([], 7, 1.0, 3 * SIZE)],
)
def test_training_is_that_of_the_ordinary_layer(
    outer: list[Strategy], micro: int, weight: float, width: int
) -> None:
    case = Case(*outer, weight=weight, width=width)
    case.train(micro)
    exported = case.strategy.export(copy.deepcopy(case.model))
    wanted = written_out(copy.deepcopy(case.began), weight)
    assert exported.state_dict().keys() == wanted.keys()
    for name, value in exported.state_dict().items():
        torch.testing.assert_close(value.double(), wanted[name], rtol=1e-5, atol=1e-5)
        assert (value - case.began.state_dict()[name]).abs().max() > 1e-2


def test_evaluation_gives_the_outputs_of_the_exported_model() -> None:
    case = Case()
    case.train()
    exported = case.strategy.export(copy.deepcopy(case.model)).eval()
    case.model.eval()
    x = batch(9)["x"]
    torch.testing.assert_close(case.model(x)["logits"], exported(x)["logits"])
    assert 0 < case.strategy.evaluate(None)["gram_error"] < 1e-12


@pytest.mark.parametrize("size", [3, 12], ids=["few samples", "many samples"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("max_condition", [1.001, 1e6], ids=["folding", "never folding"])
def test_many_steps_of_the_layer_alone(size: int, bias: bool, max_condition: float) -> None:
    """As many as it takes until the inverse is taken anew."""
    torch.manual_seed(0)
    layer = nn.Linear(10, CLASSES, bias, dtype=torch.float64)
    head = SphericalHead(layer, max_condition)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    loss = ZLoss()
    for _ in range(REFRESH + 20):
        # The same few targets again and again: an update has some of them twice.
        features, target = torch.randn(size, 10).double(), torch.randint(4, (size,))
        ours, ordinary = (features.clone().requires_grad_() for _ in range(2))
        loss(layer(ordinary), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        inputs = head.inputs(ours)
        statistics = torch.stack(head.statistics(inputs, target))
        statistics.retain_grad()
        loss.of_statistics(*statistics, CLASSES).mean().backward()
        head.descend(inputs.detach(), target, Statistics(*statistics.grad), 0.1)
        torch.testing.assert_close(ours.grad, ordinary.grad, rtol=1e-9, atol=1e-12)
        identity = head.inverse @ head.factor
        torch.testing.assert_close(identity, torch.eye(len(identity)).double())
    found = head.as_linear().state_dict()
    for name, value in layer.state_dict().items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)
    for kept, exact in zip((head.sums, head.gram), head.products(), strict=True):
        torch.testing.assert_close(kept, exact, rtol=1e-11, atol=1e-12)
    assert head.folds == 0 if max_condition > 2 else 0 < head.folds < REFRESH


@pytest.mark.parametrize(("samples", "low_rank"), [(3, True), (4, True), (5, False), (20, False)])
def test_a_shrinking_matrix_is_what_it_would_be_multiplied_out(
    samples: int, low_rank: bool
) -> None:
    generator = torch.Generator().manual_seed(samples)
    inputs, factors, matrix, symmetric = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((samples, 8), (samples,), (5, 8), (8, 8))
    )
    symmetric = symmetric + symmetric.T
    shrink = Shrink(inputs, factors)
    whole = torch.eye(8) + inputs.T @ torch.diag(factors) @ inputs
    torch.testing.assert_close(shrink.times(matrix), matrix @ whole)
    torch.testing.assert_close(shrink.times(matrix[0]), matrix[0] @ whole)
    torch.testing.assert_close(shrink.around(symmetric), whole @ symmetric @ whole)
    divided = shrink.divide(symmetric)
    assert (divided is not None) == low_rank
    if divided is not None:
        torch.testing.assert_close(divided, whole.inverse() @ symmetric)
    singular = Shrink(torch.eye(8)[:1].double(), torch.tensor([-1.0]).double())
    assert singular.divide(symmetric) is None


def test_a_step_that_makes_the_factor_singular_multiplies_the_layer_out() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, CLASSES, bias=False, dtype=torch.float64)
    head = SphericalHead(layer)
    zero, first = torch.zeros(1).double(), torch.eye(6)[:1].double()
    for lr in (0.25, 0.5):  # 1 - 2 lr g |h|^2 is 0 in the second
        head.descend(first, torch.tensor([2]), Statistics(zero, zero, zero + 1), lr)
    wanted = layer.weight.detach().clone()
    wanted[:, 0] = 0
    torch.testing.assert_close(head.as_linear().weight.detach(), wanted)
    assert head.folds == 1


def test_an_update_looked_at_beforehand_copies_nothing_of_the_size_of_the_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case(guard=Guard("skip"))
    copied: list[int] = []
    clone = Tensor.clone

    def noted(self: Tensor, *arguments: Any, **options: Any) -> Tensor:
        copied.append(len(self) if self.dim() == 2 else 0)
        return clone(self, *arguments, **options)

    monkeypatch.setattr(Tensor, "clone", noted)
    case.train()
    assert CLASSES not in copied


class Given(Strategy):
    """Computes the gradient itself."""

    def step(self, step: Any, take: Any) -> None:
        step.set_gradient(step.gradient())
        step.update()


def test_a_gradient_from_elsewhere_is_refused() -> None:
    with pytest.raises(RuntimeError, match="found no backward pass in this update"):
        Case(Given()).train()


SGD = Plan(1, None, 8, None, {"lr": 1.0}, {}, "sgd")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer_name": "adamw"}, "plain SGD, got adamw"),
        ({"optimizer": {"lr": 1.0, "momentum": 0.9}}, "plain SGD, got momentum: 0.9"),
        ({"optimizer": {"weight_decay": 1e-4}}, "plain SGD, got weight_decay: 0.0001"),
        ({"max_grad_norm": 1.0}, "max_grad_norm must be left out, got 1.0"),
    ],
)
def test_refused_plans(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SphericalOutput().plan(replace(SGD, **changes))
    for plan in (SGD, replace(SGD, optimizer_name="SGD")):
        assert SphericalOutput().plan(plan) is plan


def test_refused_objectives_and_models() -> None:
    strategy = SphericalOutput()
    term = Term(ZLoss(), "z")
    for terms in ([Term(nn.CrossEntropyLoss(), "ce")], [term, term]):
        with pytest.raises(ValueError, match="must be a single spherical loss"):
            strategy.objective(WeightedSum(terms))
    with pytest.raises(ValueError, match="must average over samples"):
        strategy.objective(WeightedSum([Term(ZLoss(reduction="sum"), "z")]))
    with pytest.raises(ValueError, match="the model has no linear layer; it has none"):
        strategy.model(nn.Conv1d(1, 1, 1), Context(seed=0))
    with pytest.raises(ValueError, match="max_condition must be a number of at least 1"):
        SphericalOutput(max_condition=0.5)


def test_a_model_that_goes_on_after_its_last_linear_layer(training: Any) -> None:
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4), nn.Softmax(1))
    run = training(model, ZLoss(), SphericalOutput())
    with pytest.raises(ValueError, match="must be what the model's last linear layer gives"):
        run.compute({"x": torch.randn(3, 5), "target": torch.zeros(3, dtype=torch.long)})


def test_a_job_with_another_optimizer_is_told_before_training(tmp_path: Path) -> None:
    job = {
        "name": "spherical",
        "data": {"source": "wine", "validation": 0.2, "transforms": ["standardize"]},
        "model": "mlp",
        "objective": "z_loss",
        "strategies": ["spherical_output"],
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9},
        "training": {"epochs": 2},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(tmp_path),
    }
    with pytest.raises(InputError, match=r"plain SGD, got momentum: 0\.9"):
        trainwright.validate(job)
    result = trainwright.run({**job, "optimizer": {"name": "sgd", "lr": 0.1}})
    assert result.metrics["validation/gram_error"] < 1e-10
