"""Reading and changing weights between updates: both copies, every stage and precision."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

CASES = [("local", 0, "fp32"), *(("deepspeed", stage, "fp32") for stage in range(4))]
LAST = ("model.2.weight", "model.2.bias")
HALF = [("deepspeed", stage, "bf16") for stage in range(4)]


def _engine(kind: str, stage: int, precision: str) -> tuple[Any, nn.Module]:
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.Linear(3, 3))
    network[3].requires_grad_(False)
    module = TrainModule(
        NamedModel(network, {"input": "x"}), WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    )
    distributed = kind == "deepspeed"
    settings = EngineSettings(
        precision=precision,
        rank=dist.get_rank() if distributed else 0,
        world_size=dist.get_world_size() if distributed else 1,
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.0)
    build = DeepSpeedEngine if distributed else LocalEngine
    return build(module, optimizer, settings), network


def _logits(engine: Any, x: torch.Tensor) -> torch.Tensor:
    batch = engine.place({"x": x})
    with torch.no_grad():
        return engine.module(engine.module.model, batch)["logits"].float().clone()


def _update(engine: Any, x: torch.Tensor) -> None:
    batch = engine.place({"x": x, "target": torch.arange(len(x)) % 3})
    module = engine.module
    loss = module(lambda: module.objective(module.model(batch), batch).value)
    engine.backward(loss, True)
    engine.update()


def _edited(kind: str, stage: int, precision: str) -> dict[str, Any]:
    engine, _ = _engine(kind, stage, precision)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    _update(engine, x)
    before = engine.master()
    name, frozen = "model.0.weight", "model.3.weight"
    mask = (torch.arange(35).view(7, 5) % 2).float()
    new = {name: before[name] * mask, frozen: torch.eye(3)}
    engine.edit(new, {"exp_avg": {name: torch.zeros(7, 5)}})
    after = engine.master()
    moments = engine.moments("exp_avg")
    forward = _logits(engine, x)
    _update(engine, x)
    return {
        "before": before,
        "after": after,
        "moments": moments,
        "squares": engine.moments("exp_avg_sq", [name]),
        "none": engine.moments("of_no_kind", [name]),
        "logits": forward,
        "moved": engine.master([name])[name],
        "x": x,
    }


def _by_hand(values: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = torch.tanh(x @ values["model.0.weight"].T + values["model.0.bias"])
    x = x @ values["model.2.weight"].T + values["model.2.bias"]
    return x @ values["model.3.weight"].T + values["model.3.bias"]


@pytest.mark.parametrize(("kind", "stage", "precision"), [*CASES, *HALF], ids=str)
def test_an_edit_reaches_both_copies_and_the_optimizer(
    kind: str, stage: int, precision: str, two_workers: Any
) -> None:
    results = (
        two_workers.run(_edited, kind, stage, precision)
        if kind == "deepspeed"
        else [_edited(kind, stage, precision)]
    )
    tolerance = 1e-5 if precision == "fp32" else 3e-2
    for result in results:
        before, after = result["before"], result["after"]
        changed = {"model.0.weight", "model.3.weight"}
        mask = (torch.arange(35).view(7, 5) % 2).float()
        assert after["model.0.weight"].equal(before["model.0.weight"] * mask)
        assert after["model.3.weight"].equal(torch.eye(3))
        assert all(after[name].equal(before[name]) for name in before if name not in changed)
        # The frozen weight has no state; that of the edited one is the zeros that were put there.
        assert [*result["moments"]] == ["model.0.weight", "model.0.bias", *LAST]
        assert not result["moments"]["model.0.weight"].any()
        assert all(result["moments"][name].any() for name in ("model.0.bias", *LAST))
        assert result["squares"]["model.0.weight"].shape == (7, 5)
        assert float(result["squares"]["model.0.weight"].min()) >= 0
        assert result["squares"]["model.0.weight"].any()
        assert not result["none"]["model.0.weight"].any()
        assert torch.allclose(result["logits"], _by_hand(after, result["x"]), atol=tolerance)
        moved = (result["moved"] - after["model.0.weight"]).abs().max()
        # An Adam step with its first moment cleared: 0.1 g / sqrt(...) stays below the rate, and
        # starts from the edited weight, not from the one before.
        assert 0 < float(moved) < 0.0101


@pytest.mark.parametrize("stage", [1, 3])
def test_workers_agree_on_the_whole_weights(stage: int, two_workers: Any) -> None:
    first, second = two_workers.run(_edited, "deepspeed", stage, "fp32")
    assert all(first["after"][name].equal(second["after"][name]) for name in first["after"])


def _shifted(kind: str, stage: int, precision: str) -> dict[str, Any]:
    engine, _ = _engine(kind, stage, precision)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    _update(engine, x)
    weights = engine.master()
    before = _logits(engine, x)
    saved = engine.shift({"model.2.weight": torch.full((3, 7), 0.5)}, scale=0.25)
    between = _logits(engine, x)
    untouched = engine.master()
    engine.unshift(saved)
    return {
        "weights": weights,
        "before": before,
        "between": between,
        "untouched": untouched,
        "after": _logits(engine, x),
        "x": x,
    }


@pytest.mark.parametrize(("kind", "stage", "precision"), [*CASES, HALF[1], HALF[3]], ids=str)
def test_a_shift_moves_the_passes_alone_and_is_undone_exactly(
    kind: str, stage: int, precision: str, two_workers: Any
) -> None:
    result = (
        two_workers.run(_shifted, kind, stage, precision)[1]
        if kind == "deepspeed"
        else _shifted(kind, stage, precision)
    )
    weights = result["weights"]
    if stage > 0:  # elsewhere the optimizer has no copy of its own
        assert all(result["untouched"][name].equal(weights[name]) for name in weights)
    shifted = {**weights, "model.2.weight": weights["model.2.weight"] + 0.125}
    tolerance = 1e-5 if precision == "fp32" else 3e-2
    assert torch.allclose(result["between"], _by_hand(shifted, result["x"]), atol=tolerance)
    assert result["after"].equal(result["before"])


def test_an_unknown_name_is_told() -> None:
    engine, _ = _engine("local", 0, "fp32")
    with pytest.raises(KeyError, match=r"model\.9\.weight.*model\.0\.weight"):
        engine.edit({"model.9.weight": torch.zeros(1)})
