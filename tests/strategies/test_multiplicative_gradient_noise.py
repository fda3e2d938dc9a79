"""Multiplicative gradient noise: its moments, its reproducibility, every engine and stage."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trainwright
from trainwright.data.random import key, normal
from trainwright.strategy import Context
from trainwright_strategies.multiplicative_gradient_noise import (
    MultiplicativeGradientNoise,
    gradient_noise_std,
    noisy_mean,
)

NAME = "multiplicative_gradient_noise"


def test_the_standard_deviation_gives_the_noise_of_the_small_batch() -> None:
    assert gradient_noise_std(128, 128) == 0.0
    assert gradient_noise_std(1280, 128) == pytest.approx(3.0)
    assert (1 + gradient_noise_std(512, 32) ** 2) / 512 == pytest.approx(1 / 32)


def test_the_gradient_is_the_weighted_mean() -> None:
    losses = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64, requires_grad=True)
    noise = torch.tensor([0.5, -1.0, 0.0], requires_grad=True)
    value = noisy_mean(losses, noise, 2.0)
    assert value.item() == pytest.approx((2.0 * 1 - 1.0 * 2 + 1.0 * 4) / 3)
    value.backward()
    assert losses.grad.tolist() == pytest.approx([2 / 3, -1 / 3, 1 / 3])
    assert noise.grad is None


def test_mean_and_covariance_of_the_noisy_gradient() -> None:
    """Fixed g of shape (64, 3), s = 3, 2e5 draws: Cov = (s / 64)^2 sum of g g^T."""
    generator = torch.Generator().manual_seed(0)
    g = torch.randn(64, 3, generator=generator, dtype=torch.float64)
    draws, std = 200_000, 3.0
    sums = torch.zeros(draws, 3, dtype=torch.float64)
    for n in range(64):
        z = 1 + std * normal(key(0, NAME, n), torch.arange(draws)).double()
        sums += z[:, None] * g[n]
    noisy = sums / 64
    expected = (std / 64) ** 2 * (g.T @ g)
    torch.testing.assert_close(torch.cov(noisy.T).diag(), expected.diag(), rtol=0.03, atol=0)
    error = (noisy.mean(dim=0) - g.mean(dim=0)).abs()
    assert (error < 4 * (expected.diag() / draws).sqrt()).all()


class _Prepared(MultiplicativeGradientNoise):
    """In a training of batches of 16."""

    def model(self, model: nn.Module, context: Context) -> nn.Module:
        context.batch_size = 16
        return super().model(model, context)


def prepared(std: float | None = 1.0, base: int = 128) -> MultiplicativeGradientNoise:
    strategy = _Prepared(base, std)
    strategy.model(nn.Identity(), Context(seed=3))
    return strategy


def test_the_weight_of_a_sample_depends_on_seed_update_and_id(training: Any) -> None:
    batch = {
        "x": torch.randn(6, 5),
        "target": torch.randint(3, (6,)),
        "sample_id": torch.tensor([4, 9, 2, 7, 1, 5]),
    }
    model = nn.Linear(5, 3)
    strategy = MultiplicativeGradientNoise(std=1.5)
    run = training(model, nn.CrossEntropyLoss(), strategy)
    each = nn.functional.cross_entropy(model(batch["x"]), batch["target"], reduction="none")
    seen = []
    for update in (0, 1):
        run.context.update = update
        z = 1 + 1.5 * normal(key(0, NAME, update), batch["sample_id"])
        value, _ = run.gradient(batch)
        torch.testing.assert_close(value, (z * each).mean().detach())
        seen.append(float(value))
        parts = [{k: v[rows] for k, v in batch.items()} for rows in (slice(2), slice(2, 6))]
        halves = [float(run.gradient(part)[0]) for part in parts]
        assert (2 * halves[0] + 4 * halves[1]) / 6 == pytest.approx(seen[-1], abs=1e-6)
    assert seen[0] != seen[1]


@pytest.mark.parametrize("options", [{"std": 0.0}, {"std": None, "base": 16}])
def test_without_noise_nothing_changes(options: dict[str, Any], training: Any) -> None:
    batch = {"x": torch.randn(6, 5), "target": torch.randint(3, (6,))}
    model = nn.Linear(5, 3)
    plain, gradient = training(model, nn.CrossEntropyLoss()).gradient(batch)
    run = training(model, nn.CrossEntropyLoss(), prepared(**options))
    value, same = run.gradient(batch)
    assert torch.equal(value, plain)
    assert all(torch.equal(gradient[name], grad) for name, grad in same.items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_batch_size": 0}, "base_batch_size must be a whole number of at least 1"),
        ({"std": -0.1}, "std must be a number of at least 0, or null"),
        ({"std": float("nan")}, "std must be a number of at least 0, or null"),
    ],
)
def test_ill_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        MultiplicativeGradientNoise(**options)


def test_a_smaller_batch_than_the_base_is_refused() -> None:
    with pytest.raises(ValueError, match="the batch of 16 is smaller than base_batch_size, 128"):
        prepared(std=None)
    prepared(std=1.0)
    prepared(std=None, base=16)


@pytest.mark.parametrize("options", [{"class_weights": [1.0, 2.0, 3.0]}, {"reduction": "sum"}])
def test_objectives_that_are_no_mean_over_samples_are_refused(
    options: dict[str, Any], tmp_path: Path
) -> None:
    job = {
        "name": "refused",
        "data": {"source": "wine", "batch_size": 64},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": {"name": "cross_entropy", **options},
        "strategies": [{"name": NAME, "base_batch_size": 16}],
        "cluster": {"workers": 0},
        "storage": str(tmp_path),
    }
    with pytest.raises(trainwright.InputError, match="no plain mean over samples") as caught:
        trainwright.validate(job)
    assert [problem.path for problem in caught.value.problems] == ["strategies.0"]


STEPS, BATCH, STD = 4, 20, 1.5


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 33), nn.Tanh(), nn.Linear(33, 5))


def _batch(index: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(index)
    return {
        "x": torch.randn(BATCH, 16, generator=generator),
        "target": torch.randint(0, 5, (BATCH,), generator=generator),
        "sample_id": torch.randperm(100, generator=generator)[:BATCH],
    }


def _on_engine(kind: str, stage: int, micro: int) -> list[float]:
    """Runs on every worker: this worker's part of each update's loss."""
    import torch.distributed as dist

    from trainwright.data.order import micro_batches, share
    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.strategy import Context
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater
    from trainwright_strategies.multiplicative_gradient_noise import MultiplicativeGradientNoise

    rank, world = (dist.get_rank(), dist.get_world_size()) if kind == "deepspeed" else (0, 1)
    context = Context(seed=7, rank=rank, world_size=world, batch_size=BATCH)
    strategy = MultiplicativeGradientNoise(std=STD)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    model = strategy.model(_network(), context)
    module = TrainModule(NamedModel(model, {"input": "x"}), terms)
    settings = EngineSettings(
        rank=rank, world_size=world, deepspeed={"zero_optimization": {"stage": stage}}
    )
    build = DeepSpeedEngine if kind == "deepspeed" else LocalEngine
    engine = build(module, torch.optim.AdamW(module.parameters(), lr=1e-2), settings)
    engine.module.train()
    updater = Updater(engine, terms, [strategy])
    losses = []
    for index in range(STEPS):
        context.update = index
        low, high = share(0, BATCH, rank, world)
        batch = _batch(index)
        parts = [
            {name: value[a:b] for name, value in batch.items()}
            for a, b in micro_batches(low, high, micro)
        ]
        sums = updater(Update(index, 0, BATCH, parts, (low, high)), [1e-2])
        losses.append(float(sums["train/loss"]))
    return losses


def _reference() -> list[float]:
    """The method written out: one process, the whole batch, plain PyTorch."""
    model = _network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for index in range(STEPS):
        batch = _batch(index)
        z = torch.stack(
            [1 + STD * normal(key(7, NAME, index), one[None])[0] for one in batch["sample_id"]]
        )
        each = nn.functional.cross_entropy(model(batch["x"]), batch["target"], reduction="none")
        loss = sum(weight * one for weight, one in zip(z, each, strict=True)) / BATCH
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_stage_follows_the_method_written_out(
    stage: int, micro: int, two_workers: Any
) -> None:
    parts = two_workers.run(_on_engine, "deepspeed", stage, micro)
    assert [sum(both) for both in zip(*parts, strict=True)] == pytest.approx(_reference(), abs=1e-5)


def test_the_local_engine_follows_the_method_written_out() -> None:
    assert _on_engine("local", 0, 2) == pytest.approx(_reference(), abs=1e-5)
