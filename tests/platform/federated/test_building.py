"""What an aggregator is told of the job before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright.errors import InputError

JOB: dict[str, Any] = {
    "kind": "federated",
    "name": "known",
    "data": {"source": "wine", "batch_size": 8, "validation": 0.2},
    "model": {"name": "mlp", "hidden": [4]},
    "objective": "cross_entropy",
    "tracking": {"enabled": False},
}


def validate(aggregator: dict[str, Any], folder: Path) -> None:
    federation = {"rounds": 1, "clients": 3, "execution": "sequential", "aggregator": aggregator}
    trainwright.validate({**JOB, "federation": federation, "storage": str(folder)})


def test_outputs_are_known_before_anything_starts(tmp_path: Path) -> None:
    validate({"name": "moon"}, tmp_path)
    with pytest.raises(InputError) as raised:
        validate({"name": "moon", "output": "embeding"}, tmp_path)
    (problem,) = raised.value.problems
    assert problem.path == "federation.aggregator"
    assert "no output 'embeding'; it has logits, embedding; nearest: embedding" in problem.message
