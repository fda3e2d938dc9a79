"""Supernets on every engine: one path for each update, against a loop without the platform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.strategy import Step, Strategy

STEPS, BATCH = 6, 12
RATES = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}


class SetPath(Strategy):
    """A path for each update, from its index alone."""

    def step(self, step: Step, take: Callable[[], None]) -> None:
        from trainwright_strategies.supernets.protocol import find_supernet

        supernet = find_supernet(step.model)
        supernet.path = path_of(step.index, supernet.space)
        take()


def path_of(index: int, space: Any) -> Any:
    return space.random(torch.Generator().manual_seed(index))


def supernet_of(kind: str) -> Any:
    from trainwright_strategies.cell_supernet import CellSupernet
    from trainwright_strategies.residual_supernet import ResidualSupernet

    torch.manual_seed(0)
    return ResidualSupernet(16, 3) if kind == "residual" else CellSupernet(1, 3, 4, cells=1)


def samples(index: int, part: slice) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(100 + index)
    x = torch.randn(BATCH, 1, 4, 4, generator=generator)
    return x[part], torch.randint(0, 3, (BATCH,), generator=generator)[part]


def train(kind: str, stage: int | None) -> list[float]:
    """Runs on every worker: its part of the loss of each update; stage None is the local engine."""
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater

    rank, world = (0, 1) if stage is None else (dist.get_rank(), dist.get_world_size())
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(supernet_of(kind)), terms)
    settings = EngineSettings(
        precision="fp32",
        rank=rank,
        world_size=world,
        deepspeed={"zero_optimization": {"stage": stage or 0}},
    )
    build = LocalEngine if stage is None else DeepSpeedEngine
    engine = build(module, torch.optim.SGD(module.parameters(), **RATES), settings)
    engine.module.train()
    updater = Updater(engine, terms, [SetPath()])
    losses = []
    for index in range(STEPS):
        low, high = rank * BATCH // world, (rank + 1) * BATCH // world
        x, target = samples(index, slice(low, high))
        update = Update(index, 0, BATCH, [{"x": x, "target": target}], (low, high))
        losses.append(float(updater(update, [RATES["lr"]])["train/loss"]))
    return losses


def reference(kind: str, world: int) -> list[float]:
    """The losses of all workers, whose batch normalisation sees its own share."""
    supernet = supernet_of(kind)
    optimizer = torch.optim.SGD(supernet.parameters(), **RATES)
    losses = []
    for index in range(STEPS):
        supernet.path = path_of(index, supernet.space)
        optimizer.zero_grad(set_to_none=False)
        total = torch.zeros(())
        for rank in range(world):
            part = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
            x, target = samples(index, part)
            loss = nn.functional.cross_entropy(supernet(x)["logits"], target)
            total = total + loss * len(x) / BATCH
        total.backward()
        for parameter in supernet.parameters():
            parameter.grad = (
                torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            )
        optimizer.step()
        losses.append(total.item())
    return losses


@pytest.mark.parametrize("kind", ["residual", "cell"])
def test_the_local_engine_trains_one_path_after_another(kind: str) -> None:
    assert train(kind, None) == pytest.approx(reference(kind, 1), abs=1e-5)


@pytest.mark.parametrize("kind", ["residual", "cell"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_stage_trains_one_path_after_another(kind: str, stage: int, two_workers: Any) -> None:
    parts = two_workers.run(train, kind, stage)
    found = [sum(losses) for losses in zip(*parts, strict=True)]
    assert found == pytest.approx(reference(kind, 2), abs=1e-5)
