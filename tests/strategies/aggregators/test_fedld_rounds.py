"""FedLD in whole rounds: bit for bit the objective of its clients with the aggregation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import trainwright
from trainwright.errors import JobError

JOB: dict[str, Any] = {
    "kind": "federated",
    "name": "fedld",
    "data": {"source": "wine", "batch_size": 8, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [4]},
    "optimizer": {"name": "sgd", "lr": 0.02, "momentum": 0.5},
    "tracking": {"enabled": False},
}
FEDERATION: dict[str, Any] = {
    "rounds": 4,
    "clients": 4,
    "partition": {"name": "dirichlet", "alpha": 0.3, "min_samples": 5},
    "evaluate_every": 4,
}
AGGREGATION = "principal_gradient_aggregation"
FORMS = [("paper", "logits", "sample"), ("official_code", "probs", "batch")]


def trained(folder: Path, objective: Any, aggregator: Any, execution: str) -> torch.Tensor:
    """The weights of the global model, shape (d,), after four rounds."""
    federation = {**FEDERATION, "aggregator": aggregator, "execution": execution}
    job = {**JOB, "storage": str(folder), "objective": objective, "federation": federation}
    tensors = load_file(folder / trainwright.run(job).run / "export" / "model.safetensors")
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def margin(source: str, norm: str) -> dict[str, Any]:
    """The objective of FedLD's clients."""
    return {"name": "margin_control_ce", "source": source, "norm": norm}


@pytest.mark.parametrize(("preset", "source", "norm"), FORMS)
def test_it_is_its_two_parts_bit_for_bit(
    preset: str, source: str, norm: str, tmp_path: Path
) -> None:
    whole = {"name": "fedld", "preset": preset}
    found = trained(tmp_path, "cross_entropy", whole, "sequential")
    assert found.equal(trained(tmp_path, margin(source, norm), AGGREGATION, "sequential"))
    assert not found.equal(trained(tmp_path, "cross_entropy", AGGREGATION, "sequential"))


def test_it_is_its_two_parts_side_by_side(tmp_path: Path) -> None:
    found = trained(tmp_path, "cross_entropy", "fedld", "batched")
    parts = trained(tmp_path, margin("logits", "sample"), AGGREGATION, "batched")
    assert found.equal(parts)
    assert not found.equal(trained(tmp_path, "cross_entropy", AGGREGATION, "batched"))


def test_one_norm_over_a_batch_is_not_trained_side_by_side(tmp_path: Path) -> None:
    whole = {"name": "fedld", "preset": "official_code"}
    with pytest.raises(JobError, match="fedld is not functional"):
        trained(tmp_path, "cross_entropy", whole, "batched")
    with pytest.raises(JobError, match="side by side"):
        trained(tmp_path, margin("probs", "batch"), AGGREGATION, "batched")
