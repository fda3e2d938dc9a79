from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.job.schema import DIALECT, job_schema
from trainwright.job.yaml_reader import read_yaml

ROOT = Path(__file__).parents[3]
JOBS = sorted((ROOT / "jobs").rglob("*.yaml"))
RICH = [Path(__file__).parent / name for name in ("rich.yaml", "federated.yaml")]

MINIMAL = {"name": "x", "data": {"source": "digits"}, "model": "mlp", "objective": "z_loss"}


@pytest.fixture(scope="module")
def validator():
    schema = job_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def errors(validator, **sections) -> list[str]:
    return [error.message for error in validator.iter_errors({**MINIMAL, **sections})]


def test_the_dialect_is_named():
    assert job_schema()["$schema"] == DIALECT


@pytest.mark.parametrize("path", JOBS, ids=lambda path: path.stem)
def test_the_job_files_satisfy_it(validator, path):
    validator.validate(read_yaml(path.read_text(), path.name).values)


SWEEP = {
    "kind": "sweep",
    "name": "s",
    "base": "quickstart.yaml",
    "space": {"optimizer.lr": {"loguniform": [0.1, 1.0]}},
}


@pytest.mark.parametrize(
    ("change", "is_right"),
    [
        ({"metric": "a/b", "algorithm": "tpe", "scheduler": "asha"}, True),
        ({"metric": ["a/b", {"name": "parameters", "goal": "min"}], "scheduler": None}, True),
        ({"algorithm": {"name": "tpe", "candidates": 9}, "base": MINIMAL}, True),
        ({"algorithm": "tpee"}, False),
        ({"algorithm": {"candidates": 9}}, False),
        ({"scheduler": {"name": "pbt", "grace": "1 epoch"}}, False),
        ({"metric": {"name": "a/b", "goal": "up"}}, False),
    ],
    ids=str,
)
def test_sweeps_and_their_short_forms(validator, change, is_right):
    assert validator.is_valid({**SWEEP, **change}) is is_right


@pytest.mark.parametrize("path", RICH, ids=lambda path: path.stem)
def test_rich_jobs_satisfy_it(validator, path):
    validator.validate(read_yaml(path.read_text(), path.name).values)


@pytest.mark.parametrize(
    "change",
    [
        {"round": 3},
        {"rounds": 0},
        {"cohort": 1.5},
        {"cohort": 0},
        {"aggregator": {"weighting": "uniform"}},
        {"sampling": {"dropout": 1}},
        {"privacy": {"where": "client"}},
        {"client_evaluation": {"personalise": {"rounds": 1}}},
        {"on_non_finite": "ignore"},
        {"update_transforms": "sign"},
    ],
    ids=str,
)
def test_what_is_wrong_in_a_federation_does_not(validator, change):
    values = read_yaml(RICH[1].read_text(), RICH[1].name).values
    values["federation"] |= change
    assert [*validator.iter_errors(values)] != []
    with pytest.raises(JobError):
        Job.from_dict(values)


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"data": {"source": "digits", "validation": 0.2}},
        {"data": {"source": {"name": "my.data.make", "n": 3}, "test": {"source": "digits"}}},
        {"data": {"source": "a.csv", "columns": {"t": {"type": "class", "from": "label"}}}},
        {"objective": ["mse", {"name": "losses.py:Mine", "weight": 2, "options": {"weight": 1}}]},
        {"objective": "CrossEntropyLoss"},
        {"cluster": {"workers": [1, 4], "resize_after_s": 5}},
        {"metrics": ["accuracy", {"name": "binary_accuracy"}, "BinaryAccuracy"]},
        {"training": {"monitor": "validation/loss", "evaluate_every": "2 epochs"}},
        {"training": {"monitor": {"metric": "validation/loss", "mode": "min"}}},
        {"deepspeed": {"zero_optimization": {"stage": 2}}},
        {"strategies": [{"name": "early_stopping", "patience": 3}]},
        {"optimizer": {"name": "sgd", "lr": 0.1}, "schedule": "cosine"},
    ],
)
def test_what_the_loader_accepts_satisfies_it(validator, sections):
    data = {"source": "digits", "validation": 0.2}
    Job.from_dict({**MINIMAL, "data": data, **sections})
    assert errors(validator, **sections) == []


@pytest.mark.parametrize(
    "sections",
    [
        {"epochs": 3},
        {"cluster": {"workers": [0, 4]}},
        {"cluster": {"workers": [1, 2, 3]}},
        {"data": {"source": "digits", "validation": 1.2}},
        {"data": {}},
        {"training": {"epochs": "3"}},
        {"training": {"evaluate_every": "3"}},
        {"engine": "deepsped"},
        {"objective": "z_los"},
        {"objective": {"a": 1}},
        {"strategies": ["early_stoping"]},
        {"optimizer": {"name": "cosine"}},
        {"deepspeed": {"zero_optimization": {"stge": 2}}},
        {"deepspeed": {"train_batch_size": 2}},
        {"extends": 5},
    ],
)
def test_an_editor_sees_what_is_wrong(validator, sections):
    assert errors(validator, **sections)


def test_a_job_that_extends_another_need_not_hold_everything(validator):
    validator.validate({"extends": "base.yaml", "seed": 3})
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"seed": 3})


COMPARE = {"kind": "compare", "name": "c", "variants": {"baseline": {}, "m": {"seed": 1}}}


@pytest.mark.parametrize(
    "sections",
    [
        {"base": "quickstart.yaml"},
        {"base": {k: v for k, v in MINIMAL.items() if k != "name"}},
        {"base": {"extends": "quickstart.yaml", "seed": 3}, "seeds": [1, 2], "report": ["steps"]},
        {"base": "a.yaml", "cluster": {"workers": 0}, "methods": ["m"], "split_by_seed": True},
    ],
)
def test_a_comparison_satisfies_it(validator, sections):
    validator.validate({**COMPARE, **sections})


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"base": {"optimzer": "sgd"}},
        {"base": {"objective": "z_los"}},
        {"base": "a.yaml", "seeds": 0},
        {"base": "a.yaml", "variants": {"baseline": {}}},
        {"base": "a.yaml", "seed": 3},
        {"base": "a.yaml", "cluster": {"worker": 2}},
    ],
)
def test_an_editor_sees_what_is_wrong_with_a_comparison(validator, sections):
    assert not validator.is_valid({**COMPARE, **sections})


PROCEDURE = {"kind": "procedure", "name": "p", "procedure": "weight_interpolation"}


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"procedure": {"name": "mine.py:Attack", "steps": 10}, "runs": {"a": "run@best"}},
        {"data": {"source": "digits", "validation": 0.2}, "cluster": {"workers": 2}, "seed": 1},
    ],
)
def test_a_procedure_satisfies_it(validator, sections):
    validator.validate({**PROCEDURE, **sections})


@pytest.mark.parametrize(
    "sections",
    [
        {"procedure": "z_loss"},
        {"runs": ["a"]},
        {"model": "mlp"},
        {"data": {"source": "digits", "batchsize": 3}},
        {"cluster": {"workers": -1}},
        {"cluster": {"workers": [1, 2]}},
    ],
)
def test_an_editor_sees_what_is_wrong_with_a_procedure(validator, sections):
    assert not validator.is_valid({**PROCEDURE, **sections})


def test_every_key_of_a_section_is_described():
    schema = job_schema()
    undescribed = [
        (name, key)
        for name, section in schema["$defs"].items()
        for key, item in section.get("properties", {}).items()
        if name.endswith("Job") and not _described(item, schema)
    ]
    assert not undescribed


def _described(item: dict, schema: dict) -> bool:
    if item.get("description"):
        return True
    name = item.get("$ref", "").rpartition("/")[2]
    return bool(name and schema["$defs"][name].get("description"))
