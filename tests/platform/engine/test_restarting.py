"""A restarted optimizer moves as a new one would, whatever state it keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.engine.restarting import restart_optimizer
from trainwright.objective import Term, WeightedSum

OPTIMIZERS: dict[str, Any] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    "AdamW": {"lr": 0.05, "betas": (0.8, 0.9)},
    "Adagrad": {"lr": 0.1, "initial_accumulator_value": 0.5},
    "RMSprop": {"lr": 0.05, "momentum": 0.5},
    "Rprop": {"lr": 0.01},
}


def _engine(name: str, options: dict[str, Any], state: Any = None) -> LocalEngine:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    if state is not None:
        model.load_state_dict(state)
    module = TrainModule(NamedModel(model), WeightedSum([Term(nn.MSELoss(), "mse")]))
    return LocalEngine(
        module, getattr(torch.optim, name)(module.parameters(), **options), EngineSettings()
    )


def _updates(engine: LocalEngine, number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in range(number):
        x = torch.randn(5, 3, generator=generator)
        engine.backward(engine.module.model.model(x).square().mean(), last=True)
        engine.update()
    return [p.detach().clone() for p in engine.module.parameters()]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restarted_optimizer_is_a_new_one(name: str) -> None:
    used = _engine(name, {**OPTIMIZERS[name], "lr": 0.001})
    _updates(used, 4)
    new = _engine(name, OPTIMIZERS[name], used.module.model.model.state_dict())
    placeholder = [nn.Parameter(torch.zeros(2, 2))]
    restart_optimizer(used, getattr(torch.optim, name)(placeholder, **OPTIMIZERS[name]))
    for mine, theirs in zip(_updates(used, 4), _updates(new, 4), strict=True):
        assert torch.equal(mine, theirs)
