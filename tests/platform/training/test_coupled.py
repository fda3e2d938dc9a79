"""Losses over the global batch, in micro-batches on workers, against one pass over all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.data.order import micro_batches, share
from trainwright.strategy import Batch, Compute, Loss, Strategy

STEPS, BATCH, RATE = 4, 18, 0.05


class TwoViews(nn.Module):
    """Embeds two views of a sample, with dropout and batch normalisation on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(6, 10, bias=False),  # before a batch norm its gradient would be noise
            nn.BatchNorm1d(10),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(10, 5),
        )
        self.head = nn.Linear(5, 3)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        embedding = self.body(first)
        return {"embedding": embedding, "other": self.body(second), "logits": self.head(embedding)}


class Contrastive(nn.Module):
    """Each sample must know its second view among those of the whole batch (InfoNCE)."""

    couples = "batch"

    def __init__(self) -> None:
        super().__init__()
        self.project = nn.Linear(5, 4)
        self.scale = nn.Parameter(torch.full((1,), 2.0))
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, embedding: Tensor, other: Tensor) -> dict[str, Tensor]:
        self.calls += 1
        first, second = (nn.functional.normalize(self.project(v)) for v in (embedding, other))
        loss = nn.functional.cross_entropy(
            self.scale * first @ second.T, torch.arange(len(first), device=first.device)
        )
        return {"loss": loss, "scale": self.scale.mean()}


class Noisy(nn.Module):
    """A coupled loss without parameters that draws random numbers."""

    couples = "batch"

    def forward(self, embedding: Tensor) -> Tensor:
        return (embedding @ embedding.T * torch.rand(len(embedding), 1)).square().mean()


class Penalties(Strategy):
    """Adds what it sees of the outputs, and of a weight that the loss reaches on its own."""

    def model(self, model: nn.Module, context: Any) -> nn.Module:
        self.weight = model.head.weight
        return model

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        spread = compute.forward(batch)["other"].std(dim=0).mean()
        return compute(batch).plus(0.1 * spread + 0.2 * self.weight.square().sum(), "penalty")


class Elsewhere(Strategy):
    """Runs the model on other inputs inside its loss."""

    def loss(self, batch: Batch, compute: Compute) -> Loss:
        return compute({**batch, "first": batch["first"] + 1})


def _data() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS * BATCH, 6, generator=generator)
    target = torch.randint(0, 3, (STEPS * BATCH,), generator=generator)
    target[::4] = -1
    noise = torch.randn(STEPS * BATCH, 6, generator=generator)
    return {"first": x, "second": x + 0.3 * noise, "target": target}


def _made() -> tuple[nn.Module, list[nn.Module]]:
    torch.manual_seed(0)
    return TwoViews(), [Contrastive(), nn.CrossEntropyLoss(ignore_index=-1)]


def _parts(index: int, world: int, micro: int) -> list[list[tuple[int, int]]]:
    """Positions of the micro-batches of each worker; shares differ where 18 is cut by 4."""
    start = index * BATCH
    return [
        micro_batches(*share(start, start + BATCH, rank, world), micro) for rank in range(world)
    ]


def _train(
    stage: int | None,
    micro: int,
    make: Callable[[], Any] = _made,
    strategies: tuple[type[Strategy], ...] = (),
) -> dict[str, Any]:
    """Runs on every worker."""
    import torch.distributed as dist

    from trainwright.collectives import sum_over_workers
    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum
    from trainwright.strategy import Context
    from trainwright.strategy.compose import apply_model
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater

    rank, world = (dist.get_rank(), dist.get_world_size()) if stage is not None else (0, 1)
    model, objectives = make()
    hooks = [strategy() for strategy in strategies]
    terms = WeightedSum([Term(o, type(o).__name__) for o in objectives])
    module = TrainModule(NamedModel(apply_model(hooks, model, Context(seed=0))), terms)
    zero = {"stage": stage, "stage3_param_persistence_threshold": 0}
    settings = EngineSettings(
        rank=rank, world_size=world, deepspeed={"zero_optimization": zero}, max_grad_norm=1.0
    )
    build = LocalEngine if stage is None else DeepSpeedEngine
    trained = [p for p in module.parameters() if p.requires_grad]
    engine = build(module, torch.optim.AdamW(trained, lr=RATE), settings)
    engine.module.train()
    updater = Updater(engine, terms, hooks)
    data = _data()
    losses = []
    for index in range(STEPS):
        torch.manual_seed(10 * index + rank)
        parts = _parts(index, world, micro)[rank]
        batches = [{name: value[a:b] for name, value in data.items()} for a, b in parts]
        sums = updater(Update(index, 0, BATCH, batches, (0, 0)), [RATE])
        names = sorted(sums)
        own = torch.tensor([float(sums[name]) for name in names])
        everyone = sum_over_workers(own, settings.device).tolist()
        losses.append(dict(zip(names, everyone, strict=True)))
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    return {"losses": losses, "buffers": buffers, "norm": float(engine.gradient_norm())}


def _reference(
    world: int, micro: int, make: Callable[[], Any] = _made, penalties: bool = False
) -> dict[str, Any]:
    """All micro-batches with their graphs, one loss; a copy of the model for each worker."""
    copies = [make()[0] for _ in range(world)]
    objectives = nn.ModuleList(make()[1])
    shared = list(objectives.parameters())
    trained = [[p for p in copy.parameters() if p.requires_grad] for copy in copies]
    steps = [torch.optim.AdamW(p, lr=RATE) for p in [*trained, shared] if p]
    data = _data()
    losses, norm = [], 0.0
    for index in range(STEPS):
        outputs: list[dict[str, Tensor]] = []
        for rank, parts in enumerate(_parts(index, world, micro)):
            torch.manual_seed(10 * index + rank)
            outputs += [copies[rank](data["first"][a:b], data["second"][a:b]) for a, b in parts]
        whole = {name: torch.cat([o[name] for o in outputs]) for name in outputs[0]}
        rows = slice(index * BATCH, (index + 1) * BATCH)
        value, logged = _value(objectives, whole, data["target"][rows], 10 * index)
        if penalties:
            penalty = 0.1 * whole["other"].std(dim=0).mean()
            penalty = penalty + 0.2 * sum(c.head.weight.square().sum() for c in copies) / world
            value = value + penalty
            logged["train/penalty"] = penalty.item()
        for step in steps:
            step.zero_grad()
        value.backward()
        for same in zip(*trained, strict=True):
            total = sum(p.grad for p in same)
            for p in same:
                p.grad = total.clone()
        gradients = [p.grad for p in [*trained[0], *shared]]
        norm = float(torch.cat([g.flatten() for g in gradients]).norm())
        for parameter in [*(p for own in trained for p in own), *shared]:
            parameter.grad.mul_(min(1.0, 1.0 / (norm + 1e-6)))
        for step in steps:
            step.step()
        losses.append({"train/loss": value.item(), **logged})
    buffers = [dict(copy.named_buffers()) for copy in copies]
    return {"losses": losses, "norm": norm, "buffers": buffers}


def _value(
    objectives: nn.ModuleList, outputs: dict[str, Tensor], target: Tensor, seed: int
) -> tuple[Tensor, dict[str, float]]:
    if isinstance(objectives[0], Noisy):
        from trainwright.data.random import key

        torch.manual_seed(key(seed, "coupled") & (2**63 - 1))
        value = objectives[0](outputs["embedding"])
        return value, {}
    contrast = objectives[0](outputs["embedding"], outputs["other"])
    entropy = objectives[1](outputs["logits"], target)
    return contrast["loss"] + entropy, {
        "train/Contrastive": contrast["loss"].item(),
        "train/CrossEntropyLoss": entropy.item(),
        "train/Contrastive/scale": contrast["scale"].item(),
    }


def _assert_equal(found: dict[str, Any], expected: dict[str, Any], rank: int) -> None:
    for got, wanted in zip(found["losses"], expected["losses"], strict=True):
        assert got == pytest.approx(wanted, abs=1e-5)
    assert found["norm"] == pytest.approx(expected["norm"], rel=1e-4)
    for name, value in expected["buffers"][rank].items():
        torch.testing.assert_close(
            found["buffers"][f"model.model.{name}"], value, atol=1e-5, rtol=1e-4, msg=name
        )


@pytest.mark.parametrize("micro", [1, 3])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_workers_see_the_whole_batch(stage: int, micro: int, two_workers: Any) -> None:
    expected = _reference(2, micro)
    for rank, found in enumerate(two_workers.run(_train, stage, micro)):
        _assert_equal(found, expected, rank)
        assert found["buffers"]["objective.terms.0.objective.calls"] == STEPS


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_accumulation_on_one_worker(stage: int, one_worker: Any) -> None:
    [found] = one_worker.run(_train, stage, 4)
    _assert_equal(found, _reference(1, 4), 0)


@pytest.mark.parametrize("micro", [1, 4])
def test_the_local_engine(micro: int) -> None:
    _assert_equal(_train(None, micro), _reference(1, micro), 0)


def _made_noisy() -> tuple[nn.Module, list[nn.Module]]:
    torch.manual_seed(0)
    model = TwoViews()
    model.head.requires_grad_(False)
    return model, [Noisy()]


@pytest.mark.parametrize("stage", [2, 3])
def test_a_random_loss_draws_the_same_on_every_worker(stage: int, two_workers: Any) -> None:
    expected = _reference(2, 2, _made_noisy)
    for rank, found in enumerate(two_workers.run(_train, stage, 2, _made_noisy)):
        _assert_equal(found, expected, rank)


@pytest.mark.parametrize("stage", [0, 2])
def test_loss_hooks_see_the_global_batch(stage: int, two_workers: Any) -> None:
    expected = _reference(2, 3, penalties=True)
    for rank, found in enumerate(two_workers.run(_train, stage, 3, _made, (Penalties,))):
        _assert_equal(found, expected, rank)


def test_loss_hooks_on_the_local_engine() -> None:
    found = _train(None, 3, _made, (Penalties,))
    _assert_equal(found, _reference(1, 3, penalties=True), 0)


def test_other_inputs_inside_a_loss_are_refused() -> None:
    from trainwright.errors import RunError

    with pytest.raises(RunError, match="runs the model on other inputs"):
        _train(None, 3, _made, (Elsewhere,))


class Shapeless(TwoViews):
    """Has an output that belongs to no sample."""

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        return {**super().forward(first, second), "norm": self.head.weight.norm()}


def test_outputs_must_belong_to_samples() -> None:
    from trainwright.errors import RunError

    with pytest.raises(RunError, match=r"each output must have one row .*'norm': \[\]"):
        _train(None, 2, lambda: (Shapeless(), _made()[1]))
