"""What sets two runs apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright.differing import Difference
from trainwright.errors import InputError

LOSS = '''
import torch


class Scaled(torch.nn.CrossEntropyLoss):
    """{0} times nothing."""
'''


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(**changes: Any) -> str:
    job = {
        "name": "one",
        "data": {"source": "wine", "batch_size": 64, "validation": 0.3},
        "model": {"name": "mlp", "hidden": [4]},
        "objective": "cross_entropy",
        "optimizer": {"name": "adamw", "lr": 0.01},
        "training": {"epochs": 1},
        "cluster": {"workers": 0},
        "storage": "runs",
        "tracking": {"enabled": False},
        **changes,
    }
    return trainwright.run(job).run


def test_jobs_and_results() -> None:
    first = train()
    second = train(
        name="two",
        optimizer={"name": "adamw", "lr": 0.02},
        strategies=[{"name": "ema", "decay": 0.5}],
        metrics=["accuracy"],
    )
    found = trainwright.diff(first, second)
    assert (found.first, found.second) == (first, second)
    by_name = {difference.name: difference for difference in found.job}
    assert by_name["optimizer.lr"] == Difference("optimizer.lr", 0.01, 0.02)
    assert by_name["strategies.0.decay"] == Difference("strategies.0.decay", None, 0.5)
    assert by_name["strategies"] == Difference("strategies", [], None)
    assert by_name["name"].second == "two"
    names = [difference.name for difference in found.job]
    assert names.index("optimizer.lr") < names.index("name"), "what decides the numbers first"
    assert "data.batch_size" not in by_name
    results = {difference.name: difference for difference in found.results}
    assert results["validation/accuracy"].first is None
    assert results["validation/loss"].first != results["validation/loss"].second
    assert "steps" not in results
    assert found.files == []


def test_the_code_beside_the_jobs() -> None:
    Path("loss.py").write_text(LOSS.format("one"))
    first = train(objective="loss.py:Scaled")
    Path("loss.py").write_text(LOSS.format("two") + "\n")
    second = train(objective="loss.py:Scaled")
    assert first != second
    found = trainwright.diff(first, second)
    assert found.files == [Difference("loss.py", "6 lines", "7 lines")]
    assert found.job == []


def test_a_run_and_itself() -> None:
    name = train()
    found = trainwright.diff(name, name)
    assert (found.job, found.files, found.results) == ([], [], [])


def test_a_run_that_does_not_exist() -> None:
    name = train()
    with pytest.raises(InputError, match="no such run"):
        trainwright.diff(name, "two")
