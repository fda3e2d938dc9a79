"""Norms of single gradients, and what clipping does to them, on every engine and ZeRO stage."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trainwright.engine.norms import norms_of

LIMIT, RATE = 0.1, 0.5


class Partly(nn.Module):
    """A network whose layer ``idle`` is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.idle, self.last = nn.Linear(4, 7), nn.Linear(5, 5), nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


def measured(kind: str, stage: int, precision: str) -> dict[str, Any]:
    """Runs on every worker: norms of one gradient, and how far the weights moved by it."""
    import torch.distributed as dist

    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.deepspeed import DeepSpeedEngine
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum

    torch.manual_seed(0)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(Partly()), terms)
    local = kind == "local"
    settings = EngineSettings(
        precision=precision,
        max_grad_norm=LIMIT,
        rank=0 if local else dist.get_rank(),
        world_size=1 if local else dist.get_world_size(),
        deepspeed={"zero_optimization": {"stage": stage}},
    )
    build = LocalEngine if local else DeepSpeedEngine
    engine = build(module, torch.optim.SGD(module.parameters(), lr=RATE), settings)
    batch = engine.place({"x": torch.randn(6, 4), "target": torch.randint(3, (6,))})
    before = {name: value.clone() for name, value in engine.master().items()}
    loss = engine.module(lambda: terms(engine.module.model(batch), batch, None).value)
    engine.backward(loss, last=True)
    names = list(before)
    gradients = {name: engine.gradient(name) for name in names}
    norms = engine.gradient_norms(names)
    engine.update()
    moved = {name: before[name] - value for name, value in engine.master().items()}
    return {"gradients": gradients, "norms": norms, "moved": moved, "factor": engine.clip_factor()}


CASES = [
    ("local", 0, "fp32"),
    ("local", 0, "bf16"),
    *(("zero", stage, precision) for stage in range(4) for precision in ("fp32", "bf16")),
]


@pytest.mark.parametrize(("kind", "stage", "precision"), CASES)
def test_norms_and_the_factor_are_those_of_what_moved(
    kind: str, stage: int, precision: str, request: pytest.FixtureRequest
) -> None:
    if kind == "local":
        results = [measured(kind, stage, precision)]
    else:
        workers = request.getfixturevalue("two_workers")
        results = workers.run(measured, kind, stage, precision)
    for found in results:
        norms = {n: float(v) for n, v in zip(found["gradients"], found["norms"], strict=True)}
        expected = {name: float(value.norm()) for name, value in found["gradients"].items()}
        assert norms == pytest.approx(expected, rel=1e-4, abs=1e-7)
        assert norms["model.idle.weight"] == 0 < norms["model.first.bias"]
        whole = sum(norm**2 for norm in norms.values()) ** 0.5
        factor = float(found["factor"])
        assert factor == pytest.approx(LIMIT / whole, rel=1e-2)
        for name, gradient in found["gradients"].items():
            torch.testing.assert_close(
                found["moved"][name], RATE * factor * gradient, rtol=2e-2, atol=1e-4
            )


def test_without_clipping_the_factor_is_one() -> None:
    from trainwright.engine import EngineSettings, NamedModel, TrainModule
    from trainwright.engine.local import LocalEngine
    from trainwright.objective import Term, WeightedSum

    module = TrainModule(NamedModel(Partly()), WeightedSum([Term(nn.CrossEntropyLoss(), "ce")]))
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE)
    for limit, norm, expected in ((None, 7.0, 1.0), (2.0, 0.5, 1.0), (2.0, 8.0, 0.25)):
        engine = LocalEngine(module, optimizer, EngineSettings(max_grad_norm=limit))
        engine._norm = torch.tensor(norm)
        assert float(engine.clip_factor()) == pytest.approx(expected, rel=1e-5)


def test_norms_of_nothing_and_of_half_precision() -> None:
    cpu = torch.device("cpu")
    assert norms_of([None, torch.zeros(0)], cpu, sharded=True).tolist() == [0.0, 0.0]
    long = torch.full((100_000,), 200.0, dtype=torch.float16)  # its square sum overflows float16
    found = norms_of([None, long], cpu, sharded=False)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([0.0, 200 * 100_000**0.5], rel=1e-4)
