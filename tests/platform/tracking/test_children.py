"""A comparison in MLflow: one parent, its runs as children, each sent once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import trainwright
from trainwright.runs import RunRecord
from trainwright.storage import Folder
from trainwright.tracking import read_state
from trainwright.tracking.children import Children
from trainwright.tracking.family import children_of

COMPARE: dict[str, Any] = {
    "kind": "compare",
    "name": "family",
    "base": {
        "data": {"source": "digits", "batch_size": 512, "validation": 0.3},
        "model": {"name": "mlp", "hidden": [8]},
        "objective": "cross_entropy",
        "optimizer": {"name": "sgd", "lr": 0.01},
        "training": {"epochs": 2},
    },
    "variants": {"baseline": {}, "method": {"optimizer.lr": 1.0}},
    "seeds": 2,
    "cluster": {"workers": 0},
}


def test_a_parent_and_its_children(
    database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tracking = {"uri": database.uri, "drain_timeout_s": 120.0}
    result = trainwright.run({**COMPARE, "tracking": tracking})
    names = {name: identity for identity, name, status in database.runs() if status == "FINISHED"}
    folder = Folder(result.storage)
    assert set(names) == {result.run, *children_of(folder)}
    assert result.mlflow_run_id == names[result.run]
    parents = database.query("select run_uuid, value from tags where key = 'mlflow.parentRunId'")
    assert sorted(parents) == sorted((names[n], names[result.run]) for n in children_of(folder))
    rows = {
        (key, step): value
        for key, step, value in database.query(
            "select key, step, value from metrics where run_uuid = ?", names[result.run]
        )
    }
    for row in result.rows:
        for seed, value in row.values.items():
            assert rows[f"{row.variant}/{row.quantity}", seed] == value
        assert rows[f"mean/{row.variant}/{row.quantity}", 0] == row.estimate.mean
    child = result.costs[0].runs[1]
    losses = database.query(
        "select count(*) from metrics where run_uuid = ? and key = 'train/loss'", names[child]
    )
    assert losses == [(6,)]
    state = read_state(Folder(str(tmp_path / "runs")) / child)
    assert state is not None
    assert state.experiment == "family"
    assert state.phase == "done"


def test_only_children_that_ended_are_due_and_only_once_there_is_a_parent(tmp_path: Path) -> None:
    storage = Folder(str(tmp_path))
    parent = storage / "parent"
    parent.write_json("children.json", ["a", "b"])
    RunRecord("a", status="finished", parent="parent").save(storage / "a")
    RunRecord("b", status="running", parent="parent").save(storage / "b")
    children = Children(parent, "sqlite:///nowhere.db")
    assert not children.send_next()
    assert children_of(storage / "a") == []
    assert children._has_ended("a")
    assert not children._has_ended("b")
