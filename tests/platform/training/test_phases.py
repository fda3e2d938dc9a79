"""A method in phases, written through the public protocol, against a plain PyTorch loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import prune_rewind
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

BASE: dict[str, Any] = {
    "name": "phases",
    "data": {
        "source": {"name": "synthetic_classification", "num_samples": 96},
        "validation": {"source": {"name": "synthetic_classification", "num_samples": 50}},
        "test": {"source": {"name": "synthetic_classification", "num_samples": 30}},
        "batch_size": 32,
        "shuffle": False,
    },
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.1},
    "training": {"max_grad_norm": 1.0, "checkpoint_every": "2 steps"},
    "tracking": {"enabled": False},
}
STEPS = 13


def _train(folder: str, engine: str, stage: int, die_at: int | None) -> dict[str, Any]:
    """Runs on every worker: one attempt at the run; what the strategy and the run say."""
    import torch.distributed as dist

    from trainwright.job import Job
    from trainwright.training.worker import WorkOrder, work

    values = {
        **BASE,
        "strategies": [{"name": "prune_rewind.py:PruneRewind", "die_at": die_at}],
        "engine": engine,
        "cluster": {"workers": 0 if engine == "local" else dist.get_world_size()},
    }
    if engine == "deepspeed":
        values["deepspeed"] = {"zero_optimization": {"stage": stage}}
    job = Job.from_dict(values, base=folder)
    order = WorkOrder(job.spec.model_dump(mode="json"), folder, f"{folder}/run")
    try:
        outcome = work(order, None)
    except RuntimeError as error:
        return {"killed": str(error)}
    return {"complete": outcome.complete, "steps": outcome.steps, "metrics": outcome.metrics}


def _attempts(workers: Any, folder: Path, engine: str, stage: int, kills: list[int]) -> Any:
    (folder / "prune_rewind.py").write_bytes(Path(prune_rewind.__file__).read_bytes())
    run = workers.run if workers is not None else lambda f, *arguments: [f(*arguments)]
    for kill in kills:
        for result in run(_train, str(folder), engine, stage, kill):
            assert result == {"killed": "killed by the test"}
    return run(_train, str(folder), engine, stage, None)[0]


def _data(num_samples: int) -> tuple[Tensor, Tensor]:
    from trainwright.data.sources.synthetic import synthetic_classification

    table = synthetic_classification(num_samples)
    return table.tensors["features"], table.tensors["target"]


class Reference:
    """The same method written out, in one process."""

    def __init__(self) -> None:
        from trainwright.models.mlp import MLP
        from trainwright.training.randomness import seed_all

        seed_all(0, "init")
        self.model = MLP(20, 4, [16])
        self.layers = [self.model.body[0], self.model.head]
        self.masks = [torch.ones_like(layer.weight) for layer in self.layers]
        self.losses: list[float] = []
        self.rates: list[float] = []
        self._phase(2, 32, lambda step: 0.01, 0.1)
        early = [p.detach().clone() for p in self.model.parameters()]
        self._phase(6, 32, lambda step: 0.01 * (1 - step / 6), 0.1)
        for layer, mask in zip(self.layers, self.masks, strict=True):
            size = layer.weight.detach().abs()
            mask.copy_(size >= size.flatten().topk(size.numel() // 2).values[-1])
        with torch.no_grad():
            for parameter, value in zip(self.model.parameters(), early, strict=True):
                parameter.copy_(value)
        self._phase(5, 24, lambda step: 0.02, 0.0, smoothing=0.1)

    def _logits(self, x: Tensor) -> Tensor:
        first, last = self.layers
        hidden = functional.linear(x, first.weight * self.masks[0], first.bias).relu()
        return functional.linear(hidden, last.weight * self.masks[1], last.bias)

    def _phase(
        self, steps: int, batch: int, rate: Any, decay: float, smoothing: float = 0.0
    ) -> None:
        optimizer = torch.optim.AdamW(self.model.parameters(), weight_decay=decay)
        x, target = _data(96)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = rate(step)
            start = step % (96 // batch) * batch
            part = slice(start, start + batch)
            loss = functional.cross_entropy(
                self._logits(x[part]), target[part], label_smoothing=smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            optimizer.step()
            self.losses.append(loss.item())
            self.rates.append(rate(step))

    def loss_on(self, num_samples: int) -> float:
        x, target = _data(num_samples)
        with torch.no_grad():
            return float(functional.cross_entropy(self._logits(x), target, label_smoothing=0.1))

    def weights(self) -> dict[str, Tensor]:
        state = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        state["body.0.weight"] *= self.masks[0]
        state["head.weight"] *= self.masks[1]
        return state


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference()


def _assert_equal(folder: Path, outcome: Any, reference: Reference) -> None:
    from stories import Story

    from trainwright.checkpoint import CheckpointStore
    from trainwright.storage import Folder

    assert outcome["complete"]
    assert outcome["steps"] == STEPS
    assert outcome["metrics"]["validation/loss"] == pytest.approx(reference.loss_on(50), abs=1e-5)
    assert outcome["metrics"]["test/loss"] == pytest.approx(reference.loss_on(30), abs=1e-5)
    run = Folder(str(folder)) / "run"
    story = Story.of(run)
    assert story.curve("train/loss") == pytest.approx(reference.losses, abs=1e-5)
    assert story.curve("train/lr") == pytest.approx(reference.rates)
    checkpoint = CheckpointStore(run).latest()
    assert checkpoint is not None
    progress = checkpoint.state["progress"]
    assert [(name, steps) for name, _, steps, _, _ in progress["phases"]] == [
        ("early", 2),
        ("dense", 6),
    ]
    assert (progress["phase"], progress["began"], progress["ended"]) == ("sparse", 8, True)
    strategy = checkpoint.state["strategies"]["prune_rewind.py:PruneRewind"]
    assert strategy["begun"] == ["early", "dense", "sparse"]
    expected = reference.weights()
    for layer, name in (("body.0", "body.0.weight"), ("head", "head.weight")):
        prefix = f"model.{layer}.parametrizations.weight"
        weight = checkpoint.full("param", f"{prefix}.original")
        mask = checkpoint.full("buffer", f"{prefix}.0.mask")
        torch.testing.assert_close(weight * mask, expected[name], atol=1e-5, rtol=0)


SETTINGS = [
    ("local", 0, 0),
    *(pytest.param("deepspeed", stage, 1, marks=pytest.mark.slow) for stage in range(4)),
    *(pytest.param("deepspeed", stage, 2, marks=pytest.mark.slow) for stage in range(2)),
    ("deepspeed", 2, 2),
    ("deepspeed", 3, 2),
]


@pytest.fixture
def workers(request: pytest.FixtureRequest) -> Any:
    def of(number: int) -> Any:
        fixtures = {0: None, 1: "one_worker", 2: "two_workers"}
        name = fixtures[number]
        return None if name is None else request.getfixturevalue(name)

    return of


@pytest.mark.parametrize(("engine", "stage", "number"), SETTINGS)
def test_phases_follow_the_method_written_out(
    engine: str, stage: int, number: int, workers: Any, tmp_path: Path, reference: Reference
) -> None:
    """Killed in each of the phases, and resumed, on every engine, stage and number of workers."""
    outcome = _attempts(workers(number), tmp_path, engine, stage, [0, 5, 10])
    _assert_equal(tmp_path, outcome, reference)
