"""Trainings that a procedure decides on itself: the job of an earlier run, with changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import trainwright
from trainwright.errors import InputError, Interrupted
from trainwright.runs import RunRecord, list_runs
from trainwright.storage import Folder

Make = Callable[..., dict[str, Any]]

AGAIN = """
from typing import Any

from trainwright import Procedure


class Again(Procedure):
    def __init__(self, changes: dict[str, Any], option: dict[str, Any] | None = None) -> None:
        self.changes = changes
        self.option = option or {}

    def check(self, inputs):
        inputs.variation("model", "again", self.changes, "procedure.changes")

    def run(self, context):
        one = context.variation("model", "again", self.changes)
        context.folder.write_bytes("again.yaml", one.text.encode())
        again = context.train(one)
        untrained = context.run("model").untrained(self.option)
        return {
            "before": context.run("model").evaluate()["loss"],
            "after": again.evaluate()["loss"],
            "seed": again.job.seed,
            "hidden": untrained.body[0].out_features,
            "first": untrained.body[0].weight[0, 0].item(),
        }
"""


@pytest.fixture
def again(job: Make, workplace: Path) -> Make:
    (workplace / "again.py").write_text(AGAIN)

    def make(changes: dict[str, Any], **options: Any) -> dict[str, Any]:
        values = job("Again", {"runs": {"model": "second"}}, changes=changes, **options)
        values["procedure"]["name"] = "again.py:Again"
        return values

    return make


def kept(name: str = "again") -> list[RunRecord]:
    found = [record for _, record in list_runs(Folder("runs"))]
    return [record for record in found if record.name.startswith(f"{name}-")]


def test_it_is_the_run_that_the_changed_job_makes(again: Make) -> None:
    changes = {"optimizer": {"lr": 0.1}, "training.epochs": 1}
    found = trainwright.run(again(changes)).metrics
    (record,) = kept()
    assert record.status == "finished"
    assert found["after"] == trainwright.evaluate(record.name).metrics["validation/loss"]
    assert found["after"] != found["before"]
    assert found["seed"] == 1, "that of the earlier run"
    (folder,) = Path("runs").glob("tried-*")
    file = folder / "artifacts" / "again.yaml"
    assert {"storage", "tracking"}.isdisjoint(yaml.safe_load(file.read_text()))
    by_hand = trainwright.run(file, overrides=["storage=runs", "tracking.enabled=false"])
    assert (by_hand.run, by_hand.already_finished) == (record.name, True)


def test_it_is_not_trained_twice(again: Make) -> None:
    changes = {"training": {"epochs": 1}}
    first = trainwright.run(again(changes))
    (record,) = kept()
    second = trainwright.run(again(changes), fresh=True)
    assert second.run != first.run
    assert second.metrics == first.metrics
    assert [one.started for one in kept()] == [record.started]


def test_a_signal_stops_both_and_both_go_on(again: Make, tmp_path: Path) -> None:
    (tmp_path / "stop.txt").touch()
    stops = {"name": "stopping.StopsItself", "at": 3, "file": str(tmp_path / "stop.txt")}
    changes = {"strategies": [stops]}
    with pytest.raises(Interrupted):
        trainwright.run(again(changes))
    (record,) = kept()
    assert record.status == "interrupted"
    assert 4 <= record.steps < record.total_steps
    (procedure,) = kept("tried")
    assert procedure.status == "interrupted"
    assert trainwright.run(again(changes)).status == "finished"
    (record,) = kept()
    assert (record.status, record.steps) == ("finished", record.total_steps)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"hiden": [3]}}, r"procedure\.changes\.model\.hiden"),
        ({"training.epoch": 3}, r"procedure\.changes\.training\.epoch"),
        ({"optimizer": {"name": "sgdd"}}, r"procedure\.changes\.optimizer\.name.*sgdd"),
        ({"metrics.7.name": "f1"}, r"procedure\.changes\.metrics\.7"),
    ],
)
def test_mistakes_in_the_changes_are_told_before_anything_starts(
    changes: dict[str, Any], message: str, again: Make
) -> None:
    with pytest.raises(InputError, match=message):
        trainwright.validate(again(changes))


def test_what_only_its_data_can_say_is_told_at_its_place(again: Make) -> None:
    with pytest.raises(InputError, match=r"procedure\.objective"):
        trainwright.run(again({"objective": "mse"}))


def test_a_model_is_built_anew_with_other_options(again: Make) -> None:
    changes = {"training": {"epochs": 1}}
    ours = trainwright.run(again(changes)).metrics
    other = trainwright.run(again(changes, option={"hidden": [5]})).metrics
    assert (ours["hidden"], other["hidden"]) == (16, 5)
    assert trainwright.run(again(changes), fresh=True).metrics["first"] == ours["first"]
    with pytest.raises(InputError, match="hiden"):
        trainwright.run(again(changes, option={"hiden": [5]}))
