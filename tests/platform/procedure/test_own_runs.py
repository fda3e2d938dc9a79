"""Procedures whose job holds the trainings that they start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import trainwright
from trainwright.errors import InputError
from trainwright.runs import list_runs
from trainwright.storage import Folder

TRAINING: dict[str, Any] = {
    "data": {"source": "digits", "batch_size": 256, "validation": 0.3},
    "model": {"name": "mlp", "hidden": [16]},
    "objective": "cross_entropy",
    "optimizer": {"name": "sgd", "lr": 0.5},
    "training": {"epochs": 1},
}
MEASURES = """
from trainwright import Procedure


class Measures(Procedure):
    def __init__(self, factor: float = 1.0) -> None:
        self.factor = factor

    def check(self, inputs):
        if inputs.run("model").step != 5:
            raise ValueError("trained for another time")

    def run(self, context):
        run = context.run("model")
        first = int(run.table("validation").tensors["sample_id"][0])
        return {"loss": self.factor * run.evaluate()["loss"], "held_out_first": first}
"""


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    Path("measures.py").write_text(MEASURES)
    return {
        "kind": "procedure",
        "name": "measures",
        "procedure": {"name": "measures.py:Measures"},
        "runs": {"model": TRAINING},
        "tracking": {"enabled": False},
    }


def trained() -> list[str]:
    names = [record.name for _, record in list_runs(Folder("runs"))]
    return [name for name in names if name.startswith("model-")]


def test_what_it_needs_is_trained_first_and_once(values: dict[str, Any]) -> None:
    checked = trainwright.validate(values)
    assert "trained first: model" in checked.summary
    assert not Path("runs").exists()
    result = trainwright.run(values)
    assert result.run == checked.run
    assert len(trained()) == 1
    assert result.metrics["loss"] == trainwright.evaluate(trained()[0]).metrics["validation/loss"]
    assert trainwright.run(values).already_finished
    assert not any("trained first" in line for line in trainwright.validate(values).summary)
    doubled = trainwright.run({**values, "procedure": {**values["procedure"], "factor": 2.0}})
    assert doubled.metrics["loss"] == 2 * result.metrics["loss"]
    assert len(trained()) == 1
    other = trainwright.run({**values, "seed": 1})
    assert other.metrics["loss"] != result.metrics["loss"]
    assert len(trained()) == 2


def test_what_the_procedure_says_to_it_is_told(values: dict[str, Any]) -> None:
    values["runs"] = {"model": {**TRAINING, "training": {"epochs": 2}}}
    with pytest.raises(InputError, match="trained for another time"):
        trainwright.run(values)


def test_it_may_be_kept_elsewhere(values: dict[str, Any]) -> None:
    values["runs"] = {"model": {**TRAINING, "storage": "elsewhere"}}
    assert trainwright.run(values).status == "finished"
    assert trained() == []
    ((_, record),) = list_runs(Folder("elsewhere"))
    assert (record.name.partition("-")[0], record.status) == ("model", "finished")


def test_variants_share_it_and_seeds_hold_out_other_samples(values: dict[str, Any]) -> None:
    base = {name: values[name] for name in ("kind", "procedure", "runs")}
    result = trainwright.run(
        {
            "kind": "compare",
            "name": "measured",
            "base": base,
            "variants": {"baseline": {}, "method": {"procedure.factor": 0.5}},
            "seeds": 2,
            "split_by_seed": True,
            "report": ["loss", "held_out_first"],
            "expect": ["value(loss, method) < value(loss, baseline) for all seeds"],
            "tracking": {"enabled": False},
            "cluster": {"workers": 0},
        }
    )
    assert result.exit_status == 0
    assert len(trained()) == 2
    rows = {(row.quantity, row.variant): row.values for row in result.rows}
    assert rows["loss", "method"] == {s: v / 2 for s, v in rows["loss", "baseline"].items()}
    first = rows["held_out_first", "method"]
    assert first[0] != first[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"name": "mpl"}}, r"runs\.model\.model\.name: .* 'mpl'"),
        ({"optimiser": "sgd"}, r"runs\.model\.optimiser: "),
        ({"kind": "compare"}, r"runs\.model\.kind: a procedure starts from trained runs"),
        ({"extends": "other.yaml"}, r"runs\.model\.extends: only a file can extend a file"),
    ],
)
def test_mistakes_in_it_are_told_where_they_stand(
    change: dict[str, Any], message: str, values: dict[str, Any]
) -> None:
    values["runs"] = {"model": {**TRAINING, **change}}
    with pytest.raises(InputError, match=message):
        trainwright.validate(values)


def test_all_mistakes_are_told_at_once_with_their_lines(values: dict[str, Any]) -> None:
    values["runs"] = {
        "model": {**TRAINING, "model": {"name": "mlp", "hiden": [16]}},
        "a.b": {**TRAINING, "metrics": ["acuracy"]},
        "gone": "gone",
    }
    values["procedure"] = {"name": "measures.py:Measures", "facter": 2.0}
    text = yaml.safe_dump(values, sort_keys=False)
    Path("job.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        trainwright.validate("job.yaml")
    found = {problem.path: problem.location for problem in caught.value.problems}
    lines = text.splitlines()
    for path, written in [
        ("procedure.facter", "facter: 2.0"),
        ("runs.model.model.hiden", "hiden:"),
        ("runs.a.b.metrics.0", "- acuracy"),
        ("runs.gone", "gone: gone"),
    ]:
        location = found.pop(path)
        assert location is not None
        assert location.file == "job.yaml"
        assert written in lines[location.line - 1]
    assert not found
