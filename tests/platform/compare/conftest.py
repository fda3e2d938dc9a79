"""A small comparison and its finished run, which several tests read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import trainwright

SMALL: dict[str, Any] = {
    "kind": "compare",
    "name": "small",
    "base": {
        "data": {"source": "digits", "batch_size": 256, "validation": 0.3},
        "model": {"name": "mlp", "hidden": [16]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9},
        "training": {"epochs": 3},
        "metrics": ["accuracy"],
    },
    "variants": {"baseline": {}, "method": {"optimizer.lr": 0.5}},
    "seeds": 2,
    "expect": [
        "mean(train/loss, method) < mean(train/loss, baseline)",
        "value(validation/accuracy, method) > value(validation/accuracy, baseline) for all seeds",
    ],
    "cluster": {"workers": 0},
    "tracking": {"enabled": False},
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def small() -> dict[str, Any]:
    """The small comparison as values, to be changed."""
    return {**SMALL, "base": {**SMALL["base"]}, "variants": {**SMALL["variants"]}}


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The result of the small comparison; its runs lie under ``storage``'s parent."""
    folder = tmp_path_factory.mktemp("compared")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return trainwright.run({**SMALL, "storage": str(folder / "runs")})
    finally:
        os.chdir(before)
