"""The calibrator against a plain loop over frozen logits, and in a whole job."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import trainwright
from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.errors import InputError
from trainwright.objective import Term, WeightedSum
from trainwright.strategy import Context
from trainwright.training.auxiliary import Auxiliaries, Auxiliary
from trainwright.training.feed import Update
from trainwright.training.update import Updater
from trainwright_strategies.ca_calibrator import PHASE, CaCalibrator
from trainwright_strategies.layers.temperature import TemperatureNetwork, view_features
from trainwright_strategies.layers.views import blurred, flattened, rotated

SIZE, CLASSES, UPDATES = 30, 5, 6


def network() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.Dropout(0.5), nn.Linear(12, CLASSES)
    )
    with torch.no_grad():
        model[2].running_mean.normal_()
        model[4].weight.mul_(4)
    return model


def batch_of() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.rand(SIZE, 1, 4, 4, generator=generator),
        "target": torch.randint(CLASSES, (SIZE,), generator=generator),
        "sample_id": torch.arange(SIZE),
    }


class Calibration:
    """The second phase alone, by the platform's engine."""

    def __init__(self, strategy: CaCalibrator) -> None:
        self.model = network()
        self.strategy = strategy
        self.context = Context(seed=0, facts={"num_classes": CLASSES})
        named = NamedModel(self.model, {"input": "x"})
        terms = WeightedSum([Term(nn.CrossEntropyLoss(), "loss")])
        module = TrainModule(named, terms)
        optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
        self.engine = LocalEngine(module, optimizer, EngineSettings())
        torch.manual_seed(5)
        (spec,) = strategy.models(self.context).values()
        auxiliary = Auxiliary("calibrator", spec, named, torch.device("cpu"))
        self.context.models = Auxiliaries({"calibrator": auxiliary})
        self.network = spec.module
        self.start = copy.deepcopy(spec.module)
        self.updater = Updater(self.engine, terms, [strategy], self.context.models)
        strategy.phase_begin(PHASE)

    def train(self, micro: int = SIZE) -> None:
        batch = batch_of()
        parts = [{n: v[i : i + micro] for n, v in batch.items()} for i in range(0, SIZE, micro)]
        self.engine.module.train()
        for index in range(UPDATES):
            self.updater(Update(index, 0, SIZE, parts, (0, SIZE)), [1.0])


def frozen_logits(x: Tensor) -> Tensor:
    with torch.no_grad():
        return network().eval()(x)


def trained_by_hand(start: nn.Module, kind: str, balance: bool, views: bool) -> nn.Module:
    """Full-batch Adam on cached logits, the loss written sample by sample."""
    batch, calibrator = batch_of(), copy.deepcopy(start)
    logits = frozen_logits(batch["x"])
    features = torch.zeros(SIZE, 0)
    if views:
        seen = (rotated(batch["x"], 15.0), blurred(batch["x"], 0.6), flattened(batch["x"], 0.6))
        top = logits.argsort(dim=1, descending=True)[:, :4]
        rows = torch.arange(SIZE)[:, None]
        features = torch.cat([frozen_logits(x).softmax(1)[rows, top] for x in seen], dim=1)
    optimizer = torch.optim.Adam(calibrator.parameters(), lr=0.05)
    right = logits.argmax(1) == batch["target"]
    share = right.float().mean()
    for _ in range(UPDATES):
        scaled = logits / calibrator(features)[:, None]
        if kind == "cross_entropy":
            loss = cross_entropy(scaled, batch["target"])
        else:
            errors = (scaled.softmax(1).max(1).values - right.float()) ** 2
            weights = torch.where(right, 1 - share, share) if balance else torch.ones(SIZE)
            loss = (weights * errors).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return calibrator


@pytest.mark.parametrize("micro", [SIZE, 8])
@pytest.mark.parametrize(
    ("kind", "balance", "hidden"),
    [
        ("correctness", True, 5),
        ("correctness", False, 5),
        ("cross_entropy", True, 5),
        ("cross_entropy", True, 0),
    ],
)
def test_the_network_is_that_of_a_plain_loop(
    kind: Any, balance: bool, hidden: int, micro: int
) -> None:
    strategy = CaCalibrator("held", lr=0.05, loss=kind, balance=balance, hidden=hidden)
    phase = Calibration(strategy)
    phase.train(micro)
    expected = trained_by_hand(phase.start, kind, balance, views=hidden > 0)
    moved = False
    for name, value in phase.network.named_parameters():
        target = dict(expected.named_parameters())[name]
        torch.testing.assert_close(value, target, rtol=1e-4, atol=1e-5)
        moved |= not torch.equal(value, dict(phase.start.named_parameters())[name])
    assert moved


def test_the_model_stays_as_it_was_and_in_training() -> None:
    phase = Calibration(CaCalibrator("held", lr=0.05))
    phase.train()
    for name, value in network().state_dict().items():
        assert torch.equal(phase.model.state_dict()[name], value), name
    assert phase.model.training


def test_predictions_stay_and_confidence_follows_the_temperature() -> None:
    phase, batch = Calibration(CaCalibrator("held", lr=0.05)), batch_of()

    def compute(given: Any) -> dict[str, Tensor]:
        return {"logits": frozen_logits(given["x"]), "embedding": given["x"]}

    with torch.no_grad():
        for _ in range(20):
            for parameter in phase.network.parameters():
                parameter.normal_(std=3)
            found = phase.strategy.predict(batch, compute)["logits"]
            logits = compute(batch)["logits"]
            assert torch.equal(found.argmax(1), logits.argmax(1))
            ratio = logits / found
            assert ((ratio > 0.0999) & (ratio < 10.001)).all()
            torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4, atol=1e-4)


def test_before_calibration_logits_are_those_of_the_model() -> None:
    strategy, batch = CaCalibrator("held"), batch_of()
    outputs = {"logits": torch.ones(SIZE, CLASSES)}
    assert strategy.predict(batch, lambda given: outputs) is outputs
    with pytest.raises(ValueError, match=r"views are made of images.*set hidden: 0"):
        strategy.predict({**batch, "x": torch.zeros(2, 5)}, lambda given: outputs)


def test_features_are_probabilities_of_the_likeliest_classes() -> None:
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    views = [torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 3.0]])]
    first, second = views[0].softmax(1)[0], views[1].softmax(1)[0]
    expected = torch.stack([first[1], first[2], second[1], second[2]])
    torch.testing.assert_close(view_features(logits, views, 2)[0], expected)
    assert view_features(logits, views, 7).shape == (1, 6)


def test_a_new_network_is_near_one_and_has_a_gradient() -> None:
    torch.manual_seed(0)
    network = TemperatureNetwork(12, 5, 0.1, 10.0)
    assert sum(parameter.numel() for parameter in network.parameters()) == 71
    found = network(torch.rand(500, 12))
    assert ((found > 0.1) & (found < 10.0)).float().mean() > 0.9


def test_state_is_kept() -> None:
    strategy, other = CaCalibrator("held"), CaCalibrator("held")
    strategy.phase_begin(PHASE)
    other.load_state_dict(strategy.state_dict())
    assert other.state_dict() == {"begun": True, "seen_kinds": [False, False]}


@pytest.mark.parametrize(("shift", "kind"), [(0, "right"), (1, "wrong")])
def test_a_set_of_one_kind_cannot_be_balanced(shift: int, kind: str) -> None:
    strategy = CaCalibrator("held", lr=0.05)
    phase, batch = Calibration(strategy), batch_of()
    batch["target"] = (frozen_logits(batch["x"]).argmax(1) + shift) % CLASSES
    phase.engine.module.train()

    def fit(name: str = "main", **options: Any) -> None:
        if name == PHASE:
            phase.updater(Update(0, 0, SIZE, [batch], (0, SIZE)), [1.0])

    with pytest.raises(ValueError, match=f"{kind} on all samples of held"):
        strategy.run(fit)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"t_min": 2.0, "t_max": 1.0}, "0 < t_min < t_max must hold, got 2.0 and 1.0"),
        ({"t_min": 0.0}, "0 < t_min < t_max"),
        ({"loss": "brier"}, "loss must be correctness or cross_entropy, got 'brier'"),
        ({"rotations": (), "blurs": (), "contrasts": ()}, "a network needs a view"),
        ({"blurs": (0.0,)}, "blurs must be above 0"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CaCalibrator("held", **options)


def job(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "name": "calibrated",
        "data": {
            "source": {"name": "digits", "step": 3},
            "validation": {"source": {"name": "digits", "start": 2, "step": 3}},
            "sources": {"held": {"source": {"name": "digits", "start": 1, "step": 3}}},
            "batch_size": 64,
        },
        "model": {"name": "mlp", "hidden": [32]},
        "objective": "cross_entropy",
        "strategies": [
            {"name": "ca_calibrator", "source": "held", "lr": 0.02, "epochs": 20, **options},
            "calibration_report",
        ],
        "metrics": ["accuracy"],
        "optimizer": {"name": "adam", "lr": 0.01},
        "training": {"epochs": 3, "evaluate_every": "20 epochs"},
        "cluster": {"workers": 0},
        "tracking": {"enabled": False},
        "storage": str(folder),
    }


def test_a_whole_job_calibrates_what_training_leaves(tmp_path: Path) -> None:
    values = job(tmp_path, loss="cross_entropy", hidden=0)
    plain = trainwright.run({**values, "strategies": ["calibration_report"]}).metrics
    scaled = trainwright.run(values).metrics
    balanced = trainwright.run(job(tmp_path)).metrics
    for found in (scaled, balanced):
        assert found["validation/accuracy"] == plain["validation/accuracy"]
    assert scaled["validation/loss"] < plain["validation/loss"]
    assert balanced["validation/brier"] != plain["validation/brier"]


def test_a_source_that_is_missing_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="elsewhere"):
        trainwright.run(job(tmp_path, source="elsewhere"))
