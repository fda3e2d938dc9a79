"""The strategies on two workers and every ZeRO stage, against a loop without platform or plugin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

STEPS, BATCH, WORKERS, GHOST, MASKS, RATE = 5, 24, 2, 4, 3, 0.4


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(STEPS * BATCH, 1, 8, 8, generator=generator)
    return images, torch.randint(0, 10, (STEPS * BATCH,), generator=generator)


def _network() -> nn.Module:
    from trainwright.models.convnet import ConvNet

    torch.manual_seed(0)
    return ConvNet(1, 10, width=4, dropout=RATE)


def _share(index: int, rank: int) -> slice:
    size = BATCH // WORKERS
    return slice(index * BATCH + rank * size, index * BATCH + (rank + 1) * size)


def _on_engine(stage: int) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Runs on every worker: its part of the loss of each update, and its buffers at the end."""
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.strategy import Context
    from trainwright.strategy.compose import apply_model, apply_objective
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater
    from trainwright_objectives.z_loss import ZLoss
    from trainwright_strategies.ghost_batch_norm import GhostBatchNorm
    from trainwright_strategies.multi_sample_dropout import MultiSampleDropout

    rank = dist.get_rank()
    strategies = [MultiSampleDropout(MASKS), GhostBatchNorm(GHOST)]
    model = apply_model(strategies, _network(), Context(seed=0))
    terms = WeightedSum([Term(ZLoss(a=2.0), "z_loss")])
    module = TrainModule(NamedModel(model, {"x": "x"}), apply_objective(strategies, terms))
    settings = EngineSettings(
        precision="fp32",
        max_grad_norm=1.0,
        rank=rank,
        world_size=WORKERS,
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    engine = DeepSpeedEngine(module, optimizer, settings)
    engine.module.train()
    updater = Updater(engine, terms, strategies)
    x, target = _data()
    losses = []
    for index in range(STEPS):
        part = _share(index, rank)
        torch.manual_seed(10 * index + rank)
        batch = {"x": x[part], "target": target[part]}
        sums = updater(Update(index, 0, BATCH, [batch], (part.start, part.stop)), [1e-2])
        losses.append(float(sums["train/loss"]))
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    return losses, buffers


def _z_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    z = (logits - logits.mean(1, keepdim=True)) / logits.std(1, correction=0, keepdim=True)
    return functional.softplus(-2.0 * z[torch.arange(len(z)), target]).mean() / 2.0


def _worker_loss(network: nn.Module, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The loss of one worker's share as the papers write it: ghost batches and masks in loops."""
    hidden = x
    for layer in network.features:
        ghosts = hidden.split(GHOST) if isinstance(layer, nn.BatchNorm2d) else [hidden]
        hidden = torch.cat([layer(ghost) for ghost in ghosts])
    embedding = hidden.mean(dim=(2, 3))
    masks = torch.empty(MASKS * len(x), embedding.shape[1]).bernoulli_(1 - RATE) / (1 - RATE)
    losses = [_z_loss(network.head(embedding * mask), target) for mask in masks.split(len(x))]
    return torch.stack(losses).mean()


def _reference() -> tuple[list[list[float]], list[dict[str, torch.Tensor]]]:
    """Two copies of the model, one for each worker's running statistics, moved alike."""
    networks = [_network() for _ in range(WORKERS)]
    optimizers = [torch.optim.AdamW(n.parameters(), lr=1e-2) for n in networks]
    x, target = _data()
    losses: list[list[float]] = [[], []]
    for index in range(STEPS):
        for rank, network in enumerate(networks):
            torch.manual_seed(10 * index + rank)
            network.zero_grad()
            part = _share(index, rank)
            loss = _worker_loss(network, x[part], target[part]) / WORKERS
            loss.backward()
            losses[rank].append(loss.item())
        for parameters in zip(*(n.parameters() for n in networks), strict=True):
            total = sum(p.grad for p in parameters)
            for parameter in parameters:
                parameter.grad = total.clone()
        for network, optimizer in zip(networks, optimizers, strict=True):
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    return losses, [dict(n.named_buffers()) for n in networks]


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_stage_follows_the_methods_written_out(stage: int, two_workers: Any) -> None:
    losses, buffers = _reference()
    for rank, (got, got_buffers) in enumerate(two_workers.run(_on_engine, stage)):
        assert got == pytest.approx(losses[rank], abs=1e-5)
        for name, value in buffers[rank].items():
            torch.testing.assert_close(
                got_buffers[name], value, atol=1e-4, rtol=1e-3, check_dtype=False, msg=name
            )
