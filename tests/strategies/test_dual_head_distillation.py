"""Dual-head distillation: worked numbers, a loop without the platform, and whole jobs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.models.mlp import MLP
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context
from trainwright.testing import Case as Conforming
from trainwright.testing import Rig, Setup
from trainwright.training.feed import Update
from trainwright.training.further import build_auxiliaries
from trainwright.training.update import Updater
from trainwright_strategies.deep_linear_head import DeepLinearHead
from trainwright_strategies.dual_head_distillation import DualHeadDistillation

FACTS = {"in_features": 6, "out_features": 4}
STEPS, SIZE, RATE = 4, 12, 0.3


def teacher(**facts: Any) -> MLP:
    return MLP(**{**FACTS, **facts}, hidden=[9], batch_norm=True, dropout=0.5)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(1)  # one whose gradients oppose those of the task
    state = {
        n: v + torch.rand(v.shape) if v.dim() else v for n, v in teacher().state_dict().items()
    }
    path = tmp_path_factory.mktemp("teacher") / "model.safetensors"
    save_file(state, path)
    return str(path)


class Case:
    """An updater over a small student, and a copy of what it began with."""

    def __init__(self, weights: str, model: nn.Module | None = None, **options: Any) -> None:
        torch.manual_seed(1)
        context = Context(seed=0, facts=FACTS)
        given = {"teacher": teacher, "teacher_weights": weights, **options}
        self.strategy = DualHeadDistillation(**given)
        model = MLP(6, 4, [7], activation="tanh") if model is None else model
        self.model = self.strategy.model(model, context)
        self.began = copy.deepcopy(self.model)
        named = NamedModel(self.model, {"x": "features"})
        auxiliaries = build_auxiliaries({"dual": self.strategy}, named, context)
        terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
        module = TrainModule(named, self.strategy.objective(terms))
        optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9)
        self.engine = LocalEngine(module, optimizer, EngineSettings())
        self.strategy.begin(context)
        self.context = context
        self.updater = Updater(self.engine, terms, [self.strategy], auxiliaries)

    def train(self, micro: int = SIZE, told: nn.Module | None = None) -> dict[str, Tensor]:
        self.engine.module.train()
        for index in range(STEPS):
            whole = batch(index)
            if told is not None:
                whole["told"] = told(whole["features"])["logits"].detach()
            parts = [
                {name: column[low : low + micro] for name, column in whole.items()}
                for low in range(0, SIZE, micro)
            ]
            self.updater(Update(index, 0, SIZE, parts, (0, SIZE)), [RATE])
        return {n.removeprefix("model."): v for n, v in self.engine.master().items()}

    def gradients(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Of the task and of the distillation; None where a loss does not reach."""
        found = []
        for part in ("task", "distillation"):
            with self.strategy._only(part):
                self.model.zero_grad()
                self.updater.compute(batch(0)).value.backward()
                found.append({n: p.grad for n, p in self.model.named_parameters()})
        return found[0], found[1]


def batch(index: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(index)
    features = torch.randn(SIZE, 6, generator=generator)
    return {"features": features, "target": torch.randint(4, (SIZE,), generator=generator)}


def written_out(case: Case, weights: str, weight: float, scope: str | None) -> dict[str, Tensor]:
    """The method in plain PyTorch and float64, with the loss as its paper defines it."""
    student, theirs = case.began.double(), teacher()
    theirs.load_state_dict(load_file(weights))
    theirs.double().eval()
    optimizer = torch.optim.SGD(student.parameters(), lr=RATE, momentum=0.9)
    parameters = dict(student.named_parameters())

    def gradient(loss: Tensor) -> dict[str, Tensor]:
        every = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        pairs = zip(parameters.items(), every, strict=True)
        return {n: torch.zeros_like(p) if g is None else g for (n, p), g in pairs}

    for index in range(STEPS):
        x, y = batch(index)["features"].double(), batch(index)["target"]
        embedding = student.body(x).clone()
        s = torch.sigmoid((student.auxiliary_head(embedding) - theirs(x)["logits"]) / 2)
        norm = (0.5 * torch.log(0.5 / s) + 0.5 * torch.log(0.5 / (1 - s))).sum() * 4 / SIZE
        student_loss = functional.cross_entropy(student.head(student.body(x)), y)
        one, two = gradient(student_loss), gradient(weight * norm)
        dot = sum(float((one[n] * two[n]).sum()) for n in one)
        if scope is not None and dot < 0:
            counted = [n for n in one if scope == "all" or n.startswith("body")]
            factor = dot / sum(float(one[n].square().sum()) for n in counted)
            two = {n: g - factor * one[n] if n in counted else g for n, g in two.items()}
        for name, parameter in parameters.items():
            parameter.grad = one[name] + two[name]
        optimizer.step()
    return {name: parameter.detach() for name, parameter in parameters.items()}


@pytest.mark.parametrize("micro", [SIZE, 5])
@pytest.mark.parametrize("scope", [None, "all", "shared"])
def test_training_follows_the_method_written_out(weights: str, scope: Any, micro: int) -> None:
    case = Case(weights, weight=3.0, alignment=scope or "none")
    found, wanted = case.train(micro), written_out(case, weights, 3.0, scope)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name].double(), value, rtol=1e-5, atol=1e-5)


def test_the_written_out_scopes_differ(weights: str) -> None:
    ends = [written_out(Case(weights), weights, 3.0, scope) for scope in (None, "all", "shared")]
    for name in ("body.0.weight", "head.weight"):
        assert all((ends[0][name] - end[name]).abs().max() > 1e-3 for end in ends[1:])
        assert (ends[1][name] - ends[2][name]).abs().max() > 1e-3


def test_neither_loss_reaches_the_head_of_the_other(weights: str) -> None:
    task, distillation = Case(weights).gradients()
    assert task["auxiliary_head.weight"] is None
    assert distillation["head.weight"] is None
    assert all(task[n].any() and distillation[n].any() for n in ("body.0.weight", "body.0.bias"))


def test_a_single_head_feels_both(weights: str) -> None:
    case = Case(weights, head="none", loss="binary_kl")
    assert not hasattr(case.model, "auxiliary_head")
    assert all(gradient["head.weight"].any() for gradient in case.gradients())


def test_evaluation_and_export_are_the_models_own(weights: str) -> None:
    case = Case(weights, head="nonlinear", hidden=5)
    case.train()
    case.model.eval()
    before = case.model(batch(9)["features"])["logits"]
    exported = case.strategy.export(copy.deepcopy(case.model))
    assert exported.state_dict().keys() == MLP(6, 4, [7]).state_dict().keys()
    assert exported(batch(9)["features"])["logits"].equal(before)


def test_the_teacher_is_in_evaluation_mode_and_stays_as_it_is(weights: str) -> None:
    case = Case(weights)
    case.train()
    running = case.context.models["teacher"]
    stored = load_file(weights)
    assert not any(module.training for module in running.model.modules())
    assert all(value.equal(stored[name]) for name, value in running.model.state_dict().items())


@pytest.mark.parametrize("alignment", ["none", "all"])
def test_a_column_teaches_as_the_teacher_whose_logits_it_holds(
    weights: str, alignment: str
) -> None:
    told = teacher()
    told.load_state_dict(load_file(weights))
    without = {"teacher": None, "teacher_weights": None, "teacher_logits": "told"}
    column = Case(weights, alignment=alignment, **without)
    assert column.context.models == {}
    found = column.train(told=told.eval())
    for name, value in Case(weights, alignment=alignment).train().items():
        assert torch.equal(found[name], value)
    with pytest.raises(ValueError, match="the data has no column 'told'; it has features, target"):
        column.updater.compute(batch(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_epochs": 0}, "is one of teacher_weights.* got None, 0 and None"),
        ({"teacher_epochs": 2, "teacher_weights": "x"}, "is one of teacher_weights"),
        ({"teacher_logits": "told"}, "is one of teacher_weights.* got None, 1 and 'told'"),
        ({"teacher_epochs": 0, "teacher_logits": "told"}, "a column tells of has no model"),
        ({"teacher": None}, "a teacher needs a model"),
        ({"teacher_epochs": -1}, "whole number of at least 0, got -1"),
        ({"teacher_lr": 0.0}, "teacher_lr must be above 0, got 0.0"),
        ({"temperature": 0.0}, "temperature must be a number above 0"),
        ({"weight": -1.0}, "weight must be a number of at least 0, got -1.0"),
        ({"weight": float("inf")}, "weight must be a number of at least 0, got inf"),
        ({"loss": "kl"}, "loss must be one of binary_kl_norm, .*got 'kl'"),
        ({"head": "deep"}, "head must be one of linear, nonlinear, none, got 'deep'"),
        ({"alignment": "yes"}, "alignment must be one of none, all, shared, got 'yes'"),
        ({"hidden": 0}, "hidden must be at least 1"),
        ({"dropout": 1.0}, r"dropout in \[0, 1\)"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DualHeadDistillation(**{"teacher": teacher, "teacher_epochs": 1, **options})


def test_models_and_objectives_that_do_not_fit(weights: str) -> None:
    strategy = DualHeadDistillation(teacher, teacher_weights=weights)
    with pytest.raises(ValueError, match="the model has no linear layer; it has none"):
        strategy.model(nn.Sequential(nn.Conv1d(1, 1, 1)), Context(seed=0))
    deep = DeepLinearHead(width=3).model(MLP(6, 4, [7]), Context(seed=0))
    with pytest.raises(ValueError, match="the classifier head is a deep linear one"):
        strategy.model(deep, Context(seed=0))
    with pytest.raises(ValueError, match="something called auxiliary_head already"):
        strategy.model(Case(weights).model, Context(seed=0))
    with pytest.raises(ValueError, match="targets must be classes"):
        strategy.model(MLP(6, 4, [7]), Context(seed=0, facts={"target_kind": "value"}))
    coupled = nn.MSELoss()
    coupled.couples = "batch"
    with pytest.raises(ValueError, match="couples the batch"):
        strategy.objective(coupled)


def test_a_model_without_features_is_told(weights: str) -> None:
    strategy = DualHeadDistillation(teacher, teacher_weights=weights)
    with pytest.raises(ValueError, match="Sequential has no output 'embedding'"):
        strategy.model(nn.Sequential(nn.Linear(6, 4)), Context(seed=0))

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x)

    case = Case(weights, Bare())
    with pytest.raises(ValueError, match="no output 'embedding'; it gives logits"):
        case.updater.compute(batch(0))


def test_workers_with_unequal_shares_evaluate_as_one(two_workers: Any, tmp_path: Path) -> None:
    learner = {"name": "mlp", "options": {"hidden": [24]}}
    case = Conforming(
        "strategies", "dual_head_distillation", {"teacher": learner, "teacher_epochs": 1}
    )
    job = case.job_with(case.options)
    with Rig(tmp_path, {2: two_workers}) as rig:
        alone, together = (rig.train(job, setup) for setup in (Setup(), Setup("deepspeed", 3, 2)))
    for name in ("validation/teacher_accuracy", "validation/aux_accuracy"):
        assert together.curve(name) == pytest.approx(alone.curve(name), abs=0.05)
