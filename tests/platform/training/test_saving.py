"""What a checkpoint of a run holds beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from trainwright.checkpoint import CheckpointStore, CheckpointWriter
from trainwright.engine import EngineSettings, NamedModel, TrainModule
from trainwright.engine.local import LocalEngine
from trainwright.errors import CheckpointError
from trainwright.job.models import TrainJob
from trainwright.objective import Term, WeightedSum
from trainwright.orchestration.exporting import export_run
from trainwright.storage import Folder
from trainwright.strategy import Strategy
from trainwright.training.progress import Progress
from trainwright.training.saving import Holdings, Saver, restore

JOB = TrainJob.model_validate(
    {
        "name": "saved",
        "data": {"source": "s3://user:secret@host/data.parquet"},
        "model": "mlp",
        "objective": "cross_entropy",
        "tracking": {"uri": "postgresql://me:hunter2@db/mlflow"},
    }
)


class Tied(nn.Module):
    """Embedding and head share one weight; a running mean and a counter are buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scratch", torch.zeros(2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.embed(x)))


class Counting(Strategy):
    """Keeps a tensor and a plain value."""

    def __init__(self) -> None:
        self.seen = 0
        self.mean = torch.zeros(3)

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen, "mean": self.mean}

    def load_state_dict(self, state: Any) -> None:
        self.seen, self.mean = state["seen"], state["mean"]


def _engine(seed: int) -> LocalEngine:
    torch.manual_seed(seed)
    terms = WeightedSum([Term(nn.CrossEntropyLoss(), "ce")])
    module = TrainModule(NamedModel(Tied()), terms)
    return LocalEngine(module, torch.optim.AdamW(module.parameters()), EngineSettings())


def _save(folder: Folder, strategies: dict[str, Strategy]) -> tuple[LocalEngine, Progress]:
    engine, progress = _engine(0), Progress(finished=7, metrics={"validation/loss": 0.5})
    x = torch.tensor([0, 1, 2, 3])
    outputs = engine.module.model({"x": x})
    engine.backward(outputs["logits"].square().mean(), last=True)
    engine.update()
    progress.best.improves(progress.metrics, 7)
    writer = CheckpointWriter(folder, 0, 1)
    Saver(writer, Holdings(engine, strategies, progress), JOB, {"fingerprint": "f"}, 2, [[1, 5]])(
        True
    )
    writer.wait()
    return engine, progress


def test_everything_comes_back(tmp_path: Path) -> None:
    folder, strategy = Folder(str(tmp_path)), Counting()
    strategy.seen, strategy.mean = 3, torch.tensor([1.0, 2.0, 3.0])
    engine, progress = _save(folder, {"counting": strategy})
    checkpoint = CheckpointStore(folder).latest()
    assert checkpoint is not None
    assert checkpoint.info["lineage"] == [[1, 5], [2, 7]]
    other, fresh, empty = _engine(1), Counting(), Progress()
    restore(checkpoint, Holdings(other, {"counting": fresh}, empty))
    for (name, a), (_, b) in zip(
        engine.module.state_dict().items(), other.module.state_dict().items(), strict=True
    ):
        assert torch.equal(a, b), name
    assert (fresh.seen, fresh.mean.tolist()) == (3, [1.0, 2.0, 3.0])
    assert empty.state_dict() == progress.state_dict()


def test_no_password_is_kept(tmp_path: Path) -> None:
    _save(Folder(str(tmp_path)), {})
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"secret" not in content, path
            assert b"hunter2" not in content, path


def test_an_export_loads_into_the_plain_model_tied_weights_included(tmp_path: Path) -> None:
    engine, _ = _save(Folder(str(tmp_path)), {})
    export_run(Folder(str(tmp_path)))
    plain = Tied()
    plain.load_state_dict(load_file(tmp_path / "export" / "model.safetensors"), strict=True)
    assert torch.equal(plain.head.weight, engine.module.model.model.embed.weight)
    assert torch.equal(plain.norm.running_mean, engine.module.model.model.norm.running_mean)


def test_other_strategies_are_refused_by_name(tmp_path: Path) -> None:
    _save(Folder(str(tmp_path)), {"counting": Counting()})
    checkpoint = CheckpointStore(Folder(str(tmp_path))).latest()
    assert checkpoint is not None
    with pytest.raises(
        CheckpointError, match=r"strategies \['counting'\], the job has \['other'\]"
    ):
        restore(checkpoint, Holdings(_engine(0), {"other": Counting()}, Progress()))
