"""Every engine and ZeRO stage against one plain PyTorch reference, and into one another."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn

TOLERANCE = 1e-5
STEPS, BATCH = 8, 20


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 33), nn.ReLU(), nn.Linear(33, 17), nn.Tanh(), nn.Linear(17, 5)
    )


def _data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = (STEPS * BATCH,)
    return (
        torch.randn(*size, 16, generator=generator),
        torch.randint(0, 5, size, generator=generator),
    )


def _optimizer(name: str, parameters: Any) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    return torch.optim.AdamW(parameters, lr=1e-2)


def _reference(optimizer: str = "adamw") -> tuple[list[float], list[float]]:
    """Losses and gradient norms of a loop that owes nothing to the platform."""
    model, (x, y) = _network(), _data()
    steps = _optimizer(optimizer, model.parameters())
    losses, norms = [], []
    for start in range(0, STEPS * BATCH, BATCH):
        loss = nn.functional.cross_entropy(
            model(x[start : start + BATCH]), y[start : start + BATCH]
        )
        steps.zero_grad()
        loss.backward()
        norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), 1.0)))
        steps.step()
        losses.append(loss.item())
    return losses, norms


def _engine(kind: str, stage: int, precision: str, optimizer: str, freeze: bool = False) -> Any:
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum

    network = _network()
    if freeze:
        network[0].requires_grad_(False)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(network, {"input": "x"}), terms)
    settings = EngineSettings(
        precision=precision,
        max_grad_norm=1.0,
        rank=dist.get_rank() if kind == "deepspeed" else 0,
        world_size=dist.get_world_size() if kind == "deepspeed" else 1,
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    trained = [p for p in module.parameters() if p.requires_grad]
    build = DeepSpeedEngine if kind == "deepspeed" else LocalEngine
    return build(module, _optimizer(optimizer, trained), settings), terms


def _train(
    case: dict[str, Any], first: int = 0, folder: str | None = None, save_at: int | None = None
) -> dict[str, Any]:
    """Runs on every worker: train ``STEPS`` updates, maybe from a checkpoint, maybe writing one."""
    from trainwright.checkpoint import CheckpointStore, CheckpointWriter
    from trainwright.collectives import sum_over_workers
    from trainwright.data.order import micro_batches, share
    from trainwright.storage import Folder
    from trainwright.training.feed import Update
    from trainwright.training.update import Updater

    engine, terms = _engine(
        case.get("kind", "deepspeed"),
        case.get("stage", 0),
        case.get("precision", "fp32"),
        case.get("optimizer", "adamw"),
        case.get("freeze", False),
    )
    settings = engine.settings
    if folder is not None and first:
        engine.load(CheckpointStore(Folder(folder)).latest())
    engine.module.train()
    updater = Updater(engine, terms, [])
    x, y = _data()
    losses, norms = [], []
    for index in range(first, STEPS):
        low, high = share(index * BATCH, (index + 1) * BATCH, settings.rank, settings.world_size)
        batches = [
            {"x": x[a:b], "target": y[a:b]}
            for a, b in micro_batches(low, high, case.get("micro", 1))
        ]
        sums = updater(Update(index, 0, BATCH, batches, (low, high)), [1e-2])
        part = torch.tensor([float(sums["train/loss"])])
        losses.append(float(sum_over_workers(part, settings.device)))
        norms.append(float(engine.gradient_norm()))
        if save_at == index + 1:
            writer = CheckpointWriter(Folder(folder), settings.rank, settings.world_size)
            state = {} if settings.rank == 0 else None
            writer.save(save_at, 1, list(engine.pieces()), state, None, {})
            writer.wait()
    return {"losses": losses, "norms": norms}


CASES = [
    {"stage": stage, "micro": micro, "optimizer": optimizer}
    for stage, micro, optimizer in itertools.product((0, 1, 2, 3), (1, 3), ("adamw", "sgd"))
    if not (optimizer == "sgd" and micro == 3)
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
@pytest.mark.parametrize("world", ["one_worker", "two_workers"])
def test_every_stage_follows_the_reference(
    case: dict[str, Any], world: str, request: pytest.FixtureRequest
) -> None:
    losses, norms = _reference(case["optimizer"])
    result = request.getfixturevalue(world).run(_train, case)[0]
    assert result["losses"] == pytest.approx(losses, abs=TOLERANCE)
    assert result["norms"] == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("micro", [1, 4])
def test_the_local_engine_follows_the_reference(micro: int) -> None:
    losses, norms = _reference()
    result = _train({"kind": "local", "micro": micro})
    assert result["losses"] == pytest.approx(losses, abs=TOLERANCE)
    assert result["norms"] == pytest.approx(norms, rel=1e-4)


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_bf16_stays_near_float32(stage: int, two_workers: Any) -> None:
    losses, _ = _reference()
    result = two_workers.run(_train, {"stage": stage, "precision": "bf16", "micro": 2})[0]
    assert result["losses"] == pytest.approx(losses, abs=0.05)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_a_resumed_engine_goes_on_bit_for_bit(
    stage: int, precision: str, two_workers: Any, tmp_path: Any
) -> None:
    case = {"stage": stage, "precision": precision}
    whole = two_workers.run(_train, case, 0, str(tmp_path), 4)[0]
    resumed = two_workers.run(_train, case, 4, str(tmp_path))[0]
    assert resumed["losses"] == whole["losses"][4:]


@pytest.mark.parametrize("written", [0, 1, 2, 3])
def test_any_stage_loads_any_other(written: int, two_workers: Any, tmp_path: Any) -> None:
    whole = two_workers.run(_train, {"stage": written}, 0, str(tmp_path), 4)[0]
    for read in (0, 1, 2, 3):
        resumed = two_workers.run(_train, {"stage": read}, 4, str(tmp_path))[0]
        assert resumed["losses"] == pytest.approx(whole["losses"][4:], abs=1e-6), read


@pytest.mark.parametrize("read", ["local", 0, 1, 2, 3])
def test_another_number_of_workers_loads_it(
    read: Any, one_worker: Any, two_workers: Any, tmp_path: Any
) -> None:
    whole = two_workers.run(_train, {"stage": 3}, 0, str(tmp_path), 4)[0]
    if read == "local":
        resumed = _train({"kind": "local"}, 4, str(tmp_path))
    else:
        resumed = one_worker.run(_train, {"stage": read}, 4, str(tmp_path))[0]
    assert resumed["losses"] == pytest.approx(whole["losses"][4:], abs=1e-6)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_frozen_weights_stay_and_are_kept(stage: int, two_workers: Any, tmp_path: Any) -> None:
    from trainwright.checkpoint import CheckpointStore
    from trainwright.storage import Folder

    two_workers.run(_train, {"stage": stage, "freeze": True}, 0, str(tmp_path), 4)
    checkpoint = CheckpointStore(Folder(str(tmp_path))).latest()
    assert checkpoint is not None
    kept = checkpoint.full("param", "model.0.weight").reshape(33, 16)
    assert torch.equal(kept, _network()[0].weight.detach())
    moved = checkpoint.full("param", "model.2.weight").reshape(17, 33)
    assert not torch.equal(moved, _network()[2].weight.detach())


def _gradients(stage: int) -> dict[str, torch.Tensor]:
    """Runs on every worker: the global gradient of one batch, doubled, and the step it makes."""
    import torch.distributed as dist

    engine, _ = _engine("deepspeed", stage, "fp32", "sgd")
    x, y = _data()
    rank, world = dist.get_rank(), dist.get_world_size()
    rows = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
    engine.module.train()
    outputs = engine.module(engine.module.model, {"x": x[rows], "target": y[rows]})
    engine.backward(nn.functional.cross_entropy(outputs["logits"], y[rows]), last=True)
    found = {name: engine.gradient(name) for name in engine.trainable()}
    norms = dict(zip(found, engine.gradient_norms(list(found)), strict=True))
    for name, value in found.items():
        engine.set_gradient(name, 2 * value)
    doubled = {f"2x {name}": engine.gradient(name) for name in engine.trainable()}
    return {**found, **doubled, **{f"norm {name}": norm for name, norm in norms.items()}}


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_gradients_are_those_of_the_whole_batch(stage: int, two_workers: Any) -> None:
    model, (x, y) = _network(), _data()
    nn.functional.cross_entropy(model(x[:BATCH]), y[:BATCH]).backward()
    for found in two_workers.run(_gradients, stage):
        for name, parameter in model.named_parameters():
            assert torch.allclose(found[f"model.{name}"], parameter.grad, atol=1e-6), name
            assert torch.allclose(found[f"2x model.{name}"], 2 * parameter.grad, atol=1e-6), name
            norm = found[f"norm model.{name}"]
            torch.testing.assert_close(norm, parameter.grad.norm(), rtol=1e-5, atol=1e-7)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Any) -> None:
    from trainwright.checkpoint import CheckpointStore, CheckpointWriter
    from trainwright.errors import CheckpointError
    from trainwright.storage import Folder

    engine, _ = _engine("local", 0, "fp32", "sgd")
    writer = CheckpointWriter(Folder(str(tmp_path)), 0, 1)
    writer.save(1, 1, list(engine.pieces()), {}, None, {})
    writer.wait()
    other, _ = _engine("local", 0, "fp32", "sgd")
    other.module.model.model[0] = nn.Linear(16, 34)
    other.module.model.model.append(nn.Linear(5, 5))
    other.__dict__.pop("all_parameters", None)
    with pytest.raises(CheckpointError, match=r"model\.0\.weight: shape \[34, 16\] here"):
        other.load(CheckpointStore(Folder(str(tmp_path))).latest())
