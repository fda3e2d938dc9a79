"""Costs of samples on held-out samples: a whole run, what it records, what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import trainwright


def job(folder: Path, **options: Any) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "name": "svm",
        "data": {
            "source": "breast_cancer",
            "validation": 0.1,
            "test": 0.8,
            "transforms": ["standardize", {"name": "label_noise", "rate": 0.4, "kind": "next"}],
        },
        "procedure": {"name": "bilevel_svm", **options},
        "storage": str(folder / "runs"),
        "tracking": {"enabled": False},
    }


def test_wrong_labels_lose_their_cost_and_the_machine_gains(tmp_path: Path) -> None:
    result = trainwright.run(job(tmp_path, steps=40))
    fixed = trainwright.run(job(tmp_path, steps=0)).metrics
    found = result.metrics
    assert found["solved/validation_loss"] < fixed["solved/validation_loss"] - 0.1
    assert found["solved/test_accuracy"] > fixed["solved/test_accuracy"]
    assert found["log_cost_wrong"] < found["log_cost_right"] - 1
    assert found["violation"] < 1e-9
    assert fixed["log_cost"] == -3.0
    assert fixed["followed/test_loss"] == pytest.approx(fixed["solved/test_loss"], rel=1e-10)
    written = json.loads((Path(result.storage) / "artifacts" / "costs.json").read_text())
    assert len(written["log_costs"]) == 57
    assert sum(written["log_costs"]) / 57 == pytest.approx(found["log_cost"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"initial": 2.0}, "lowest <= initial <= highest, got -10.0, 2.0, 1.0"),
        ({"alpha": 0.5}, r"alpha must be below exp\(-highest\), 0.368, .* got 0.5"),
        ({"eta": 0.5}, r"eta must be below exp\(-highest\)"),
        ({"steps": -1}, "steps"),
        ({"c0": 0.0}, "c0"),
        ({"column": "target"}, r"target must be of shape \(n, d\)"),
        ({"target": "label"}, "no column 'label'; it has"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(job(tmp_path, **options))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"source": "wine"}, "holds no two classes"), ({"validation": None}, "no such split")],
)
def test_data_that_will_not_do(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    wrong = job(tmp_path)
    wrong["data"] = {k: v for k, v in {**wrong["data"], **change}.items() if v is not None}
    with pytest.raises(trainwright.InputError, match=message):
        trainwright.validate(wrong)
