"""Weights that an update does not use: every engine moves them as with a gradient of zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Step, Strategy

STEPS, BATCH = 6, 8


class Fork(nn.Module):
    """Two branches, of which one is used."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(4, 6) for _ in range(2))
        self.head = nn.Linear(6, 3)
        self.used = 0

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.branches[self.used](x)))


class Alternate(Strategy):
    """The first branch for one update, the second for two."""

    def step(self, step: Step, take: Callable[[], None]) -> None:
        for part in step.model.modules():
            if isinstance(part, Fork):
                part.used = used_at(step.index)
        take()


def used_at(index: int) -> int:
    return int(index % 3 > 0)


def optimizer_of(name: str, parameters: Any) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.1)
    return torch.optim.AdamW(parameters, lr=0.1, weight_decay=0.3)


def samples() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(STEPS * BATCH, 4, generator=generator)
    return x, torch.randint(0, 3, (len(x),), generator=generator)


def fork() -> Fork:
    torch.manual_seed(0)
    return Fork()


def train(kind: str, stage: int, optimizer: str) -> dict[str, Tensor]:
    """Runs on every worker: the weights after all updates."""
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater

    local = kind == "local"
    rank, world = (0, 1) if local else (dist.get_rank(), dist.get_world_size())
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(fork()), terms)
    settings = EngineSettings(
        precision="fp32",
        rank=rank,
        world_size=world,
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    build = LocalEngine if local else DeepSpeedEngine
    engine = build(module, optimizer_of(optimizer, module.parameters()), settings)
    updater = Updater(engine, terms, [Alternate()])
    x, y = samples()
    for index in range(STEPS):
        low = index * BATCH + rank * BATCH // world
        high = low + BATCH // world
        batch = {"x": x[low:high], "target": y[low:high]}
        updater(Update(index, 0, BATCH, [batch], (low, high)), [0.1])
    return {name: value.clone() for name, value in engine.master().items()}


def reference(optimizer: str) -> dict[str, Tensor]:
    model, (x, y) = fork(), samples()
    steps = optimizer_of(optimizer, model.parameters())
    for index in range(STEPS):
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        rows = slice(index * BATCH, (index + 1) * BATCH)
        model.used = used_at(index)
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        steps.step()
    return {f"model.{name}": p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize(("kind", "stage"), [("local", 0), *(("zero", s) for s in range(4))])
def test_an_unused_weight_has_a_gradient_of_zeros(
    kind: str, stage: int, optimizer: str, request: pytest.FixtureRequest
) -> None:
    if kind == "local":
        found = train(kind, stage, optimizer)
    else:
        found = request.getfixturevalue("two_workers").run(train, kind, stage, optimizer)[0]
    for name, value in reference(optimizer).items():
        torch.testing.assert_close(found[name], value, atol=1e-5, rtol=1e-4, msg=name)
