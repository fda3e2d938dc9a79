"""The deep linear classifier: what it computes, its decay, and the form it is exported in."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainwright.checkpoint import CheckpointStore
from trainwright.models.mlp import MLP
from trainwright.storage import Folder
from trainwright.strategy import Context
from trainwright.testing import Case, Rig, Setup
from trainwright_strategies.deep_linear_head import DeepLinearHead
from trainwright_strategies.layers.deep_linear import DeepLinear, find_head, folded, product


def surgery(**options: Any) -> tuple[DeepLinearHead, nn.Module]:
    strategy = DeepLinearHead(**options)
    return strategy, strategy.model(MLP(6, 4, hidden=[5]), Context(seed=0))


def test_layers() -> None:
    _, model = surgery(num_layers=3, width=7)
    assert [tuple(layer.weight.shape) for layer in model.head] == [(7, 5), (7, 7), (4, 7)]
    assert all(layer.bias is None for layer in model.head)
    outputs = model(torch.randn(2, 6))
    weights = [layer.weight for layer in model.head]
    torch.testing.assert_close(outputs["logits"], outputs["embedding"] @ product(weights).T)
    _, single = surgery(num_layers=1)
    assert [tuple(layer.weight.shape) for layer in single.head] == [(4, 5)]


def test_initial_spread() -> None:
    torch.manual_seed(0)
    deep = DeepLinear([200, 300, 100], init_std=0.02)
    for layer in deep:
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.02)


@pytest.mark.parametrize("bias", [True, False])
def test_folding_keeps_the_outputs_and_the_form(bias: bool) -> None:
    deep, original = DeepLinear([6, 8, 3]), nn.Linear(6, 3, bias=bias)
    layer = folded(deep, original)
    x = torch.randn(4, 6)
    torch.testing.assert_close(layer(x), deep(x))
    assert layer.state_dict().keys() == original.state_dict().keys()
    assert not torch.equal(original.weight, layer.weight)


def test_decay_of_other_parameters_is_turned_off() -> None:
    strategy, model = surgery()
    named = list(model.named_parameters())
    groups = strategy.parameters([{"params": named, "weight_decay": 0.1, "lr": 1.0}])
    assert [(g["weight_decay"], g["lr"]) for g in groups] == [(0.0, 1.0)]
    assert strategy._names == ["head.0.weight", "head.1.weight", "head.2.weight"]


def test_the_classifier_is_found() -> None:
    _, model = surgery()
    assert find_head(model)[0] == "head"
    assert isinstance(find_head(model, "head")[1], DeepLinear)
    assert find_head(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)))[0] == "2"
    assert find_head(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "0")[0] == "0"
    with pytest.raises(ValueError, match=r"no linear layer 'neck'; it has body\.0, head"):
        find_head(model, "neck")
    with pytest.raises(ValueError, match="the model has no linear layer; it has none"):
        find_head(nn.ReLU())
    with pytest.raises(ValueError, match="deep linear one already"):
        DeepLinearHead().model(model, Context(seed=0))


def weights_of_every_checkpoint(url: str) -> list[dict[str, torch.Tensor]]:
    every = CheckpointStore(Folder(url)).list()
    return [{name: one.full("param", name) for name in one.names("param")} for one in every]


@pytest.mark.parametrize(
    "stage", [None, 3, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (0, 1, 2))]
)
def test_decay_on_every_stage(stage: int | None, two_workers: Any, tmp_path: Any) -> None:
    """Under an objective without gradient the classifier shrinks and nothing else moves."""
    case = Case("strategies", "deep_linear_head", {"num_layers": 2, "weight_decay": 0.5})
    job = case.job_with(case.options)
    job["objective"] = {"name": "cross_entropy", "weight": 0.0}
    job["optimizer"] = {"name": "sgd", "lr": 0.1, "weight_decay": 0.3}
    job["training"] = {"steps": 2, "checkpoint_every": "1 steps", "keep": {"last": 5}}
    setup = Setup() if stage is None else Setup("deepspeed", stage, 2)
    with Rig(tmp_path, {2: two_workers}) as rig:
        first, second = weights_of_every_checkpoint(rig.train(job, setup).url)
    assert sum("head" in name for name in first) == 2
    for name, weight in first.items():
        shrunk = (1 - 0.1 * 0.5) * weight if "head" in name else weight
        torch.testing.assert_close(second[name], shrunk, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_layers": 0}, "num_layers must be a whole number of at least 1"),
        ({"num_layers": True}, "num_layers must be a whole number of at least 1"),
        ({"num_layers": None}, "num_layers must be a whole number of at least 1"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"weight_decay": -1e-3}, "weight_decay must be a number of at least 0"),
        ({"weight_decay": float("inf")}, "weight_decay must be a number of at least 0"),
        ({"init_std": 0.0}, "init_std must be None or a number above 0"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeepLinearHead(**options)
