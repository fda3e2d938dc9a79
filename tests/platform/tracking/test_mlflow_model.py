"""The MLflow model: same outputs, free batch size, no pickle; failures are told, not raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from trainwright.tracking import read_all
from trainwright.tracking.model import log_mlflow_model
from trainwright.tracking.target import MlflowTarget


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(16)
        self.drop = torch.nn.Dropout(0.5)
        self.layer = torch.nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        embedding = self.norm(x)
        return {"embedding": embedding, "logits": self.layer(self.drop(embedding))}


class Branching(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 0 else 2 * x


class TwoInputs(torch.nn.Module):
    def forward(self, x: torch.Tensor, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.sum(dim=1) + index, x


@pytest.fixture
def run_id(database: Any) -> str:
    target = MlflowTarget(database.uri)
    return target.create_run(target.experiment("models"), "run", {})


def loaded(database: Any, uri: str) -> torch.nn.Module:
    import mlflow

    mlflow.set_tracking_uri(database.uri)
    try:
        return mlflow.pytorch.load_model(uri)
    finally:
        mlflow.set_tracking_uri(None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_stored_model_computes_the_same(run: Any, database: Any, run_id: str) -> None:
    torch.manual_seed(0)
    model = Model().train()
    report = log_mlflow_model(database.uri, run_id, model, torch.randn(1, 16), folder=run.folder)
    assert report.error is None
    assert model.training, "the mode is given back"
    assert not model._forward_hooks, "the model is left as it was"
    inputs = torch.randn(7, 16)
    restored = loaded(database, str(report.model_uri))
    torch.testing.assert_close(restored(inputs), model.eval()(inputs)["logits"])
    files = [path.name for path in (database.path.parent / "mlartifacts").rglob("*")]
    assert "MLmodel" in files
    assert not any(name.endswith((".pth", ".pkl")) for name in files)
    assert database.tags()["trainwright.model"] == "stored"
    assert database.runs()[0][2] == "RUNNING", "the run's status is not touched"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_several_inputs_and_a_chosen_output(database: Any, run_id: str) -> None:
    examples = [torch.ones(2, 3), torch.arange(2)]
    report = log_mlflow_model(database.uri, run_id, TwoInputs(), examples)
    assert report.error is None
    restored = loaded(database, str(report.model_uri))
    assert restored(torch.ones(5, 3), torch.arange(5)).tolist() == [3.0, 4.0, 5.0, 6.0, 7.0]
    report = log_mlflow_model(database.uri, run_id, Model(), torch.ones(2, 16), output="embedding")
    assert loaded(database, str(report.model_uri))(torch.ones(3, 16)).shape == (3, 16)


def test_a_model_that_cannot_be_traced_is_recorded(run: Any, database: Any, run_id: str) -> None:
    report = log_mlflow_model(
        database.uri, run_id, Branching(), torch.randn(2, 4), folder=run.folder
    )
    assert report.model_uri is None
    assert report.error
    assert database.tags()["trainwright.model"].startswith("failed: ")
    events = [row for row in read_all(run.folder) if row["kind"] == "event"]
    assert "MLflow model failed" in events[0]["message"]


def test_an_absent_server_is_recorded_in_the_run(run: Any, tmp_path: Path) -> None:
    report = log_mlflow_model(
        "http://127.0.0.1:1", "no-run", Branching(), torch.randn(2, 4), folder=run.folder
    )
    assert report.error
    assert any(row["kind"] == "event" for row in read_all(run.folder))
