"""The probe: a pass over the training samples on every engine, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn

from trainwright.data.loading import load_splits
from trainwright.errors import InputError
from trainwright.models.mlp import MLP
from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.collapse_geometry import (
    ClassStatistics,
    distances,
    frame,
    within_over_between,
)
from trainwright_strategies.layers.deep_linear import DeepLinear
from trainwright_strategies.neural_collapse import NeuralCollapse

GOF = {"targets": ["gof", "identity"], "weight_decay": 0.02, "feature_decay": 0.1}


def job_of(case: Case, **training: Any) -> dict[str, Any]:
    job = case.job_with(case.options)
    head = {"name": "deep_linear_head", "options": {"num_layers": 2, "weight_decay": 0.02}}
    job["strategies"] = [*job["strategies"], head]
    job["objective"] = {"name": "ufm_mse", "options": {"feature_decay": 0.1}}
    job["training"] = {**job["training"], **training}
    return job


@torch.no_grad()
def by_hand(rig: Rig, job: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, float]:
    """From the final weights, in one process and one pass."""
    spec = rig.job(job, Setup()).spec
    splits = load_splits(spec.data, base=rig.job(job, Setup()).base, workers=0, seed=spec.seed)
    model = MLP(8, 4, hidden=[17])
    model.head = DeepLinear([17, 17, 4])
    model.load_state_dict({name.removeprefix("model."): w for name, w in weights.items()})
    batch = splits.transforms(splits.train.take(torch.arange(len(splits.train))), 0, training=False)
    statistics = ClassStatistics.zeros(4, 17)
    statistics.add(model(batch["features"])["embedding"], batch["target"])
    layers = [layer.weight.double() for layer in model.head]
    found = distances(statistics, layers, frame("gof", statistics.counts, 2, 0.02, 0.1))
    expected = {f"{name}_gof": value for name, value in found.items()}
    lengths = (layers[1] @ layers[0]).norm(dim=1)
    expected.update({f"length_w/{k}": float(length) for k, length in enumerate(lengths)})
    return {**expected, "nc1": within_over_between(statistics), "num_absent": 0.0}


@pytest.mark.parametrize(
    "stage", [None, 3, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (0, 1, 2))]
)
def test_all_workers_measure_the_training_samples(
    stage: int | None, two_workers: Any, tmp_path: Any
) -> None:
    case = Case("strategies", "neural_collapse", {**GOF, "lengths": True, "every_layer": True})
    job = job_of(case, evaluation_batch_size=7)
    setup = Setup() if stage is None else Setup("deepspeed", stage, 2)
    with Rig(tmp_path, {2: two_workers}) as rig:
        trace = rig.train(job, setup)
        expected = by_hand(rig, job, trace.weights())
    for name, value in expected.items():
        measured = trace.curve(f"validation/collapse/{name}")[-1]
        assert measured == pytest.approx(value, rel=2e-4, abs=1e-6), name
    names = {name for name, _ in trace.metrics}
    further = ("nc2_w_from_2_gof", "nc2_h_from_2_identity", "length_h_gof/3", "num_collapsed_gof")
    assert {f"validation/collapse/{name}" for name in further} <= names


class _Given:
    """An evaluation of given batches in one process."""

    def __init__(self, model: nn.Module, batches: list[dict[str, torch.Tensor]]) -> None:
        self.model, self.given, self.split = model, batches, ""

    def batches(self, split: str) -> Any:
        self.split = split
        for batch in self.given:
            yield batch, self.model(batch["x"])

    def sum(self, value: torch.Tensor) -> torch.Tensor:
        return value


def measured(model: nn.Module, batches: Any, **options: Any) -> dict[str, float]:
    probe = NeuralCollapse(**options)
    probe.model(model, Context(seed=0))
    with torch.no_grad():
        found = probe.evaluate(_Given(model, batches))
    assert not any(module._forward_hooks for module in model.modules())
    return {name.removeprefix("collapse/"): value for name, value in found.items()}


def samples(*classes: int) -> list[dict[str, torch.Tensor]]:
    target = torch.tensor(classes)
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(len(target), 6, generator=generator), "target": target}]


def test_absent_classes_are_left_out_and_counted() -> None:
    found = measured(MLP(6, 4, hidden=[5]), samples(0, 0, 3, 3, 3), lengths=True)
    assert found["num_absent"] == 2.0
    assert {name for name in found if "/" in name} == {
        f"length_{kind}/{k}" for kind in "wh" for k in (0, 3)
    }
    assert all(value == value for value in found.values())


def test_measures_of_a_collapsed_model_are_zero() -> None:
    """Inputs that are one-hot classes, through a body and a head that keep them."""
    model = nn.Sequential(nn.Identity(), nn.Linear(4, 4, bias=False))
    nn.init.eye_(model[1].weight)
    target = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
    batch = {"x": torch.eye(4)[target], "target": target}
    found = measured(model, [batch], targets=["identity"])
    assert max(found.values()) < 1e-6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": []}, "targets must be some of identity, etf, gof"),
        ({"targets": ["simplex"]}, "targets must be some of"),
        ({"targets": ["etf", "etf"]}, "targets must be some of"),
        ({"targets": ["gof"], "weight_decay": 0.1}, "'gof' needs feature_decay"),
        ({"targets": ["gof"], "feature_decay": 0.1}, "'gof' needs weight_decay"),
        ({"weight_decay": 0.0}, "weight_decay must be None or a number above 0"),
        ({"feature_decay": -1.0}, "feature_decay must be None or a number above 0"),
        ({"split": "all"}, "split must be train, validation or test"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NeuralCollapse(**options)


def test_what_the_predictions_are_not_about() -> None:
    batches = samples(0, 1, 2)
    with pytest.raises(ValueError, match="the classifier head has a bias"):
        measured(MLP(6, 3, hidden=[5]), batches, **GOF)
    with pytest.raises(ValueError, match="3 classes need features of at least 3 numbers"):
        measured(MLP(6, 3, hidden=[2]), batches)
    assert "nc2_w_etf" in measured(MLP(6, 3, hidden=[2]), batches, targets=["etf"])
    with pytest.raises(ValueError, match="the data has no column 'label'; it has x, target"):
        measured(MLP(6, 3, hidden=[5]), batches, column="label")
    with pytest.raises(ValueError, match="one class index per sample"):
        measured(MLP(6, 3, hidden=[5]), batches, column="x")


def test_cross_entropy_is_refused_for_gof(tmp_path: Any) -> None:
    case = Case("strategies", "neural_collapse", GOF)
    with (
        Rig(tmp_path) as rig,
        pytest.raises(InputError, match="squared error, not of cross-entropy"),
    ):
        rig.prepare(case.job_with(case.options), Setup())
