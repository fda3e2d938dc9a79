"""Comparisons that train: found again, judged, resumed, and one failure among many."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import trainwright
from trainwright.compare.quantities import History, RunValues
from trainwright.compare.statistics import Estimate
from trainwright.errors import Interrupted
from trainwright.runs import RunRecord, list_runs
from trainwright.storage import Folder
from trainwright.training.monitored import Best


def metrics_of(run: str, storage: Folder) -> dict[str, float]:
    record = RunRecord.load(storage / run)
    assert record is not None
    return record.metrics


def storage_of(result: Any) -> Folder:
    return Folder(str(Path(result.storage).parent))


class TestResult:
    def test_means_and_differences_are_those_of_the_runs(self, compared: Any) -> None:
        storage = storage_of(compared)
        table = {(row.quantity, row.variant): row for row in compared.rows}
        values = {
            cost.variant: [
                metrics_of(run, storage)["validation/accuracy"] for run in cost.runs.values()
            ]
            for cost in compared.costs
        }
        for variant, numbers in values.items():
            row = table["validation/accuracy", variant]
            assert row.estimate == Estimate.of(numbers)
            assert compared.metrics[f"{variant}/validation/accuracy"] == pytest.approx(
                sum(numbers) / 2
            )
        pairs = [m - b for m, b in zip(values["method"], values["baseline"], strict=True)]
        assert table["validation/accuracy", "method"].difference == Estimate.of(pairs)
        assert table["validation/accuracy", "baseline"].difference is None

    def test_expectations_decide_the_exit_status(self, compared: Any) -> None:
        assert [judgement.holds for judgement in compared.expectations] == [True, True]
        assert compared.exit_status == 0
        broken = replace(compared.expectations[0], holds=False)
        failed = replace(compared, expectations=[broken, compared.expectations[1]])
        assert failed.exit_status == 1
        assert replace(failed, placebo=True).exit_status == 0
        assert replace(compared, placebo=True).exit_status == 1
        assert replace(failed, placebo=True, status="failed").exit_status == 1

    def test_cost_is_relative_to_the_baseline(self, compared: Any) -> None:
        costs = {cost.variant: cost for cost in compared.costs}
        assert costs["baseline"].ratio == 1.0
        assert 0.2 < costs["method"].ratio < 5
        assert costs["method"].steps == 15
        assert costs["method"].seconds_per_step > 0

    def test_what_lies_in_its_folder(self, compared: Any) -> None:
        folder = Path(compared.storage)
        written = json.loads((folder / "compare.json").read_text())
        assert written["holds"] is True
        assert written["run"] == folder.name
        assert len(written["table"]) == len(compared.rows)
        page = (folder / "table.md").read_text()
        assert "| validation/accuracy | baseline |" in page
        assert page.count("- [x] `") == 2
        plots = {path.name for path in (folder / "plots").iterdir()}
        assert {"train-loss.png", "validation-accuracy.png"} <= plots
        assert len(json.loads((folder / "children.json").read_text())) == 4

    def test_every_run_is_an_ordinary_run(self, compared: Any) -> None:
        storage = storage_of(compared)
        runs = {record.name: record for _, record in list_runs(storage)}
        assert len(runs) == 5
        child = runs[compared.costs[0].runs[0]]
        assert (child.status, child.steps, child.parent) == ("finished", 15, compared.run)
        exported = trainwright.export(child.name, storage=storage.url)
        assert exported.step == 15
        again = trainwright.run(Path(storage.url) / child.name / "job.yaml")
        assert again.already_finished
        assert again.run == child.name


class TestAgain:
    def test_nothing_is_trained_twice_and_new_expectations_are_judged(
        self, compared: Any, small: dict[str, Any]
    ) -> None:
        small["storage"] = storage_of(compared).url
        stamps = {r.name: r.finished for _, r in list_runs(storage_of(compared))}
        small["expect"] = ["mean(train/loss, method) > 99"]
        again = trainwright.run(small)
        assert again.already_finished
        assert again.run == compared.run
        assert again.exit_status == 1
        assert {r.name: r.finished for _, r in list_runs(storage_of(compared))} == stamps

    def test_a_placebo_trains_nothing_new_and_is_noticed(
        self, compared: Any, small: dict[str, Any]
    ) -> None:
        small["storage"] = storage_of(compared).url
        before = {record.name for _, record in list_runs(storage_of(compared))}
        placebo = trainwright.run(small, placebo=True)
        after = {record.name for _, record in list_runs(storage_of(compared))}
        assert after - before == {placebo.run}
        assert [judgement.holds for judgement in placebo.expectations] == [False, False]
        assert placebo.exit_status == 0
        differences = [row.difference for row in placebo.rows if row.difference]
        assert all(d.mean == d.lower == d.upper == 0 for d in differences)

    def test_a_placebo_that_goes_unnoticed_is_told(
        self, compared: Any, small: dict[str, Any]
    ) -> None:
        small["storage"] = storage_of(compared).url
        small["expect"] = ["mean(train/loss, method) <= mean(train/loss, baseline)"]
        assert trainwright.run(small, placebo=True).exit_status == 1


FAILING = """
import torch
from torch import nn


class Failing(nn.Module):
    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.fails = fails
        self.calls = 0

    def forward(self, logits, target):
        if self.training:
            self.calls += 1
        if self.fails and self.calls > 4:
            raise RuntimeError("out of luck")
        return nn.functional.cross_entropy(logits, target)
"""


def test_a_run_that_fails_does_not_end_the_others(small: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(FAILING)
    small["base"]["objective"] = "failing.py:Failing"
    small["base"]["training"] = {"epochs": 2}
    small["variants"]["broken"] = {"objective.fails": True}
    small["expect"] = [
        "mean(train/loss, method) < mean(train/loss, baseline)",
        "mean(train/loss, broken) < 99",
    ]
    told: list[str] = []
    result = trainwright.run(
        small, progress=lambda p: told.extend([p["remark"]] if "remark" in p else [])
    )
    assert (result.status, result.exit_status) == ("failed", 1)
    assert [j.holds for j in result.expectations] == [True, False]
    assert result.expectations[1].reason == "no seed has finished runs of broken"
    (broken,) = [cost for cost in result.costs if cost.variant == "broken"]
    assert set(broken.failed.values()) == {"RuntimeError: out of luck"}
    assert len(told) == 2
    assert "out of luck" in told[0]
    record = RunRecord.load(Folder(result.storage))
    assert record is not None
    assert record.status == "failed"
    assert "2 of 6 runs failed" in (record.error or "")
    log = Path(result.storage).parent / broken.runs[0] / "logs" / "driver.log"
    assert "failing.py" in log.read_text()


def test_stopped_and_continued(small: dict[str, Any], compared: Any) -> None:
    """Asked to stop in the second run: the first is kept, the second goes on, numbers agree."""
    seen: set[str] = set()

    def watch(progress: dict[str, Any]) -> None:
        running = [n for n, run in progress["runs"].items() if run["state"] == "running"]
        seen.update(running)
        if len(seen) == 2:
            os.kill(os.getpid(), signal.SIGINT)
            seen.add("stop asked")

    with pytest.raises(Interrupted, match=r"1 of 4 runs finished"):
        trainwright.run(small, progress=watch)
    record = next(r for _, r in list_runs(Folder("runs")) if r.parent is None)
    assert record.status == "interrupted"
    result = trainwright.run(small)
    assert result.status == "finished"
    undisturbed = {(row.quantity, row.variant): row.values for row in compared.rows}
    assert {(row.quantity, row.variant): row.values for row in result.rows} == undisturbed
    attempts = {r.name: r.started for _, r in list_runs(Folder("runs"))}
    assert len(attempts) == 5


def test_moments_of_a_history() -> None:
    history = History([1, 2, 3, 10], [5.0, 1.0, math.nan, 2.0])
    assert history.at("final") == 2.0
    assert history.at("first") == 5.0
    assert (history.at("min"), history.at("max")) == (1.0, 5.0)
    assert math.isnan(history.at("mean") or 0.0)
    assert history.at("tail") == 2.0
    assert (history.at(2), history.at(9)) == (1.0, pytest.approx(math.nan, nan_ok=True))
    assert history.at(0) is None
    long = History(list(range(1, 41)), [float(n) for n in range(1, 41)])
    assert long.at("tail") == (37 + 38 + 39 + 40) / 4


def test_best_is_where_the_monitored_metric_was_best() -> None:
    from trainwright.compare.expectation import Quantity

    run = RunValues(
        "finished",
        {
            "validation/accuracy": History([5, 10, 15], [0.8, 0.9, 0.7]),
            "train/loss": History([4, 5, 9, 10, 15], [4.0, 3.0, 2.0, 1.0, 0.5]),
            "system/seconds_per_step": History([1, 5, 10, 15], [9.0, 0.2, 0.1, 0.3]),
        },
    )
    best = Best("validation/accuracy", higher_is_better=True)
    assert run.value(Quantity("train/loss", "best"), best) == 1.0
    assert run.value(Quantity("train/loss"), best) == 0.5
    assert run.value(Quantity("seconds_per_step"), best) == 0.2
    assert run.value(Quantity("steps"), best) == 15


def test_starting_weights_are_where_every_run_begins(small: dict[str, Any], tmp_path: Path) -> None:
    """Runs that share a process did not know of them."""
    torch.manual_seed(5)
    model = trainwright.create("models", "mlp", hidden=[16], in_features=64, out_features=10)
    save_file(model.state_dict(), tmp_path / "start.safetensors")
    small["base"]["model"] = {**small["base"]["model"], "weights": "start.safetensors"}
    still = {"optimizer.lr": 0.0, "optimizer.momentum": 0.0}
    values = {**small, "variants": {"baseline": still, "method": still}, "expect": [], "seeds": 1}
    assert trainwright.run(values).status == "finished"
    runs = [folder for folder, record in list_runs(Folder("runs")) if record.parent is not None]
    assert runs
    for run in runs:
        weights = load_file(run.local_path() / "export" / "model.safetensors")
        assert all(torch.equal(weights[name], w) for name, w in model.state_dict().items())
