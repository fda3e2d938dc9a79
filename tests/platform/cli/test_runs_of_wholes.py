"""Runs that consist of others: parts are folded, and their weights are those of the best part."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from trainwright.errors import InputError
from trainwright.orchestration.exporting import named_checkpoint
from trainwright.runs import RESOLVED, RunRecord
from trainwright.storage import Folder


@pytest.fixture(autouse=True)
def storage() -> Folder:
    """A sweep of three trials, a comparison of a run, and a run of its own."""
    storage = Folder("runs")
    for name, parent, started in (
        ("rates-0", None, 1.0),
        ("rates-trial-a", "rates-0", 2.0),
        ("rates-trial-b", "rates-0", 3.0),
        ("rates-trial-c", "rates-0", 4.0),
        ("better-0", None, 5.0),
        ("better-run-a", "better-0", 6.0),
        ("alone-0", None, 7.0),
        ("orphan-0", "gone-0", 8.0),
    ):
        record = RunRecord(name, "finished", started=started, parent=parent)
        if name == "rates-trial-c":
            record.status, record.error = "failed", "boom"
        record.save(storage / name)
        kind = {"rates-0": "sweep", "better-0": "compare"}.get(name, "train")
        (storage / name).write_json(RESOLVED, {"kind": kind, "tracking": {"enabled": False}})
    trials = [{"number": n, "run": f"rates-trial-{r}"} for n, r in enumerate("abc")]
    (storage / "rates-0").write_json("sweep.json", {"best": [1, 0], "trials": trials})
    return storage


def names(said: Any) -> list[str]:
    return [line.split()[0] for line in said.out.splitlines() if "-0  " in line or "-a  " in line]


def test_parts_are_folded(call: Callable[..., Any]) -> None:
    said = call("runs", width=160)
    assert names(said) == ["orphan-0", "alone-0", "better-0", "rates-0"]
    assert "boom" not in said.out
    assert "4 more inside of these: --parent RUN lists those of one, --all all" in said.out


def test_all_of_them_are_listed_when_asked_for(call: Callable[..., Any]) -> None:
    said = call("runs", "--all", width=160)
    assert "better-run-a" in said.out
    assert "rates-trial-c: boom" in said.out
    assert "more inside" not in said.out
    found = json.loads(call("runs", "--json").out)["runs"]
    assert [(r["run"], r["parent"]) for r in found][:3] == [
        ("orphan-0", "gone-0"),
        ("alone-0", None),
        ("better-run-a", "better-0"),
    ]


def test_the_parts_of_one(call: Callable[..., Any]) -> None:
    found = json.loads(call("runs", "--parent", "rat", "--json").out)["runs"]
    assert [r["run"] for r in found] == ["rates-trial-c", "rates-trial-b", "rates-trial-a"]
    said = call("runs", "--parent", "alone-0")
    assert said.status == 2
    assert "allowed: gone-0, better-0, rates-0" in said.err


@pytest.mark.parametrize("verb", ["evaluate", "export"])
def test_weights_of_a_sweep_are_those_of_a_trial(verb: str, call: Callable[..., Any]) -> None:
    said = call(verb, "rates-0")
    assert said.status == 2
    assert "is a sweep, whose runs have the weights" in said.err
    assert "its best trial is rates-trial-b: name that one" in said.err


def test_and_of_a_comparison_those_of_its_runs(storage: Folder) -> None:
    with pytest.raises(InputError) as caught:
        named_checkpoint(storage, "better-0@best")
    (problem,) = caught.value.problems
    assert problem.message == "is a comparison, whose runs have the weights"
    assert problem.mend == "`trainwright runs --parent better-0` lists them"
