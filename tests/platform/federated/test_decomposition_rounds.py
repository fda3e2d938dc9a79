"""The decomposition of the global loss in whole rounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainwright

JOB: dict[str, Any] = {
    "kind": "federated",
    "name": "decomposed",
    "data": {"source": "wine", "batch_size": 8, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [4]},
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.02},
    "tracking": {"enabled": False},
}
TERMS = [f"decomposition/{name}" for name in ("local_loss", "distribution_shift", "aggregation")]


def evaluations(folder: Path, **federation: Any) -> dict[int, dict[str, float]]:
    """What is recorded of the global model of a federation, by the number of rounds."""
    job = {
        **JOB,
        "storage": str(folder),
        "federation": {"rounds": 3, "decomposition": True, **federation},
    }
    run = trainwright.run(job).run
    lines = (folder / run / "journal" / "attempt-0001.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == "metrics"]
    return {row["step"]: row["values"] for row in rows if "validation/loss" in row["values"]}


@pytest.mark.parametrize("execution", ["sequential", "batched"])
def test_the_terms_add_up_whenever_the_model_is_evaluated(execution: str, tmp_path: Path) -> None:
    found = evaluations(
        tmp_path,
        clients=4,
        evaluate_every=2,
        execution=execution,
        partition={"name": "dirichlet", "alpha": 0.3, "min_samples": 5},
    )
    assert list(found) == [2, 3]
    for values in found.values():
        terms = [values[name] for name in TERMS]
        assert sum(terms) == pytest.approx(values["validation/loss"], abs=1e-6)
        assert all(abs(term) > 1e-4 for term in terms)
    assert found[2][TERMS[0]] != found[3][TERMS[0]]


def test_what_a_single_client_sends_is_the_global_model(tmp_path: Path) -> None:
    """So both of its losses are also measured in another way, and averaging costs nothing."""
    found = evaluations(tmp_path, clients=1, client_evaluation={"every": 1})
    assert list(found) == [1, 2, 3]
    for values in found.values():
        local, shift, aggregation = (values[name] for name in TERMS)
        assert local == pytest.approx(values["client/loss/mean"], abs=1e-6)
        assert local + shift == pytest.approx(values["validation/loss"], abs=1e-6)
        assert aggregation == pytest.approx(0, abs=1e-6)
        assert abs(shift) > 1e-4
