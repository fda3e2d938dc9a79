"""A gradient that is dropped leaves no trace, at every stage: neither in weights nor in state."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

STEPS, BATCH, BROKEN = 6, 12, 2


def _engine(case: dict[str, Any]) -> Any:
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(7, 9), nn.BatchNorm1d(9), nn.Tanh(), nn.Linear(9, 3))
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(network, {"input": "x"}), terms)
    is_local = case["stage"] is None
    settings = EngineSettings(
        precision=case.get("precision", "fp32"),
        max_grad_norm=case.get("max_grad_norm"),
        rank=0 if is_local else dist.get_rank(),
        world_size=1 if is_local else dist.get_world_size(),
        deepspeed={
            "zero_optimization": {"stage": case["stage"], **case.get("zero", {})},
            "zero_force_ds_cpu_optimizer": False,
        },
    )
    optimizer = torch.optim.AdamW(
        [{"params": network[0].parameters()}, {"params": network[1:].parameters(), "lr": 0.05}],
        lr=0.01,
    )
    return (LocalEngine if is_local else DeepSpeedEngine)(module, optimizer, settings), terms


def _train(case: dict[str, Any], left_out: bool) -> dict[str, Tensor]:
    """Runs on every worker: the broken update is either left out or never asked for."""
    from trainwright.data.order import micro_batches, share
    from trainwright.training.feed import Update
    from trainwright.training.guard import Guard
    from trainwright.training.update import Updater

    engine, terms = _engine(case)
    engine.module.train()
    updater = Updater(engine, terms, [], guard=Guard("skip"))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS * BATCH, 7, generator=generator)
    y = torch.randint(0, 3, (STEPS * BATCH,), generator=generator)
    # One sample, of one worker and one micro-batch.
    x[BROKEN * BATCH + 5, 3] = float("inf")
    skipped = []
    for index in range(STEPS):
        if index == BROKEN and not left_out:
            continue
        low, high = share(
            index * BATCH, (index + 1) * BATCH, engine.settings.rank, engine.settings.world_size
        )
        batches = [{"x": x[a:b], "target": y[a:b]} for a, b in micro_batches(low, high, 2)]
        updater(Update(index, 0, BATCH, batches, (low, high)), [0.01, 0.05])
        if updater.skipped is not None:
            skipped.append(index)
    assert skipped == ([BROKEN] if left_out else [])
    state = {f"{p.kind} {p.name} {p.start}": p.tensor.detach().clone() for p in engine.pieces()}
    buffers = {name: value.clone() for name, value in engine.module.named_buffers()}
    return {**state, **buffers}


CASES = [
    {"stage": None},
    {"stage": None, "max_grad_norm": 0.5},
    *({"stage": stage, "max_grad_norm": 0.5} for stage in (0, 1, 2, 3)),
    {"stage": 2},
    {"stage": 0, "precision": "bf16"},
    {"stage": 1, "precision": "bf16"},
    {"stage": 3, "precision": "bf16"},
    {"stage": 2, "zero": {"offload_optimizer": {"device": "cpu"}}},
    {"stage": 3, "zero": {"offload_optimizer": {"device": "cpu"}}},
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join(map(str, c.values())))
def test_leaves_no_trace(case: dict[str, Any], two_workers: Any) -> None:
    def of(left_out: bool) -> dict[str, Tensor]:
        if case["stage"] is None:
            return _train(case, left_out)
        return two_workers.run(_train, case, left_out)[0]

    expected, found = of(False), of(True)
    assert expected.keys() == found.keys()
    assert all(torch.isfinite(value).all() for value in found.values())
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
