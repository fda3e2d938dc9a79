"""Ghost batch normalisation of a model: what is replaced, what is refused, the neutral setting."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

from trainwright.strategy import Context
from trainwright_strategies.ghost_batch_norm import GhostBatchNorm, ghost_batch_norm
from trainwright_strategies.layers.ghost_norm import GhostNorm


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 6), nn.BatchNorm1d(6)
    )


def test_parameters_buffers_and_names_are_kept() -> None:
    model = net()
    model[1].weight.requires_grad_(False)
    model[4].eval()
    parameters, tensors = dict(model.named_parameters()), dict(model.named_buffers())
    keys = list(model.state_dict())
    assert ghost_batch_norm(model, 4) is model
    assert all(value is parameters[name] for name, value in model.named_parameters())
    assert all(value is tensors[name] for name, value in model.named_buffers())
    assert list(model.state_dict()) == keys
    assert isinstance(model[1], nn.BatchNorm1d)
    assert not model[1].weight.requires_grad
    assert not model[4].training
    assert "ghost_batch_size=4" in repr(model)


def test_a_layer_at_two_places_stays_one_layer() -> None:
    shared = nn.BatchNorm1d(3)
    model = nn.ModuleDict({"first": shared, "again": shared, "inner": nn.Sequential(shared)})
    ghost_batch_norm(model, 4)
    assert isinstance(model["first"], GhostNorm)
    assert model["first"] is model["again"]
    assert model["first"] is model["inner"][0]


class _OwnNorm(nn.BatchNorm1d):
    pass


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (nn.Linear(2, 2), {}, "no BatchNorm1d, 2d or 3d .* choose a model with batch norm"),
        (nn.Sequential(nn.SyncBatchNorm(2)), {}, "layer 0 is a SyncBatchNorm"),
        (nn.Sequential(_OwnNorm(2)), {}, "layer 0 is a _OwnNorm"),
        (nn.Sequential(nn.LazyBatchNorm1d()), {}, "layer 0 is a LazyBatchNorm1d"),
        (nn.BatchNorm1d(2, track_running_stats=False), {}, "layer BatchNorm1d keeps no running"),
        (nn.BatchNorm1d(2, momentum=None), {"running_stats": "scaled"}, "no momentum to scale"),
    ],
)
def test_refused_models(model: nn.Module, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ghost_batch_norm(model, 4, **options)


def test_applying_twice_is_refused_and_changes_nothing() -> None:
    model = ghost_batch_norm(net(), 4)
    with pytest.raises(ValueError, match="ghost batch normalisation already"):
        ghost_batch_norm(model, 2)
    assert model[1].ghost_batch_size == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ghost_batch_size": 0}, "ghost_batch_size must be a whole number"),
        ({"ghost_batch_size": 2.5}, "ghost_batch_size must be a whole number"),
        ({"ghost_batch_size": True}, "ghost_batch_size must be a whole number"),
        ({"running_stats": "mean"}, "sequential or scaled"),
        ({"on_remainder": "drop"}, "short, merge or error"),
    ],
)
def test_ill_options(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GhostBatchNorm(**options)


def test_neutral_setting_trains_as_without(training) -> None:
    """Ten updates with the declared neutral options equal ten without, bit for bit."""
    results = []
    for strategies in ([], [GhostBatchNorm(**GhostBatchNorm.declares.neutral)]):
        torch.manual_seed(1)
        run = training(net(), nn.CrossEntropyLoss(), *strategies)
        optimizer = torch.optim.SGD(run.model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(10):
            run.gradient({"x": torch.randn(16, 5), "target": torch.randint(6, (16,))})
            optimizer.step()
        results.append(run.model.state_dict())
    assert all(torch.equal(results[0][name], value) for name, value in results[1].items())


def test_strategy_changes_training(training) -> None:
    strategy = GhostBatchNorm(ghost_batch_size=4)
    model = net()
    batch = {"x": torch.randn(16, 5), "target": torch.randint(6, (16,))}
    plain, _ = training(copy.deepcopy(model), nn.CrossEntropyLoss()).gradient(batch)
    ghost, _ = training(model, nn.CrossEntropyLoss(), strategy).gradient(batch)
    assert (plain - ghost).abs() > 1e-4
    assert isinstance(strategy.model(nn.BatchNorm1d(2), Context(seed=0)), GhostNorm)
