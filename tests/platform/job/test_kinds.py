"""The kinds of job: which form a file is held against, and what is told when there is none."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

import trainwright
from trainwright.errors import InputError, JobError, Problem
from trainwright.job import Job
from trainwright.job.kinds import KINDS, Kind, kind_of
from trainwright.job.plugin_spec import JobSection
from trainwright.job.schema import job_schema
from trainwright.orchestration.request import Request
from trainwright.orchestration.result import RunResult
from trainwright.orchestration.validation import Validation

TRAIN: dict[str, Any] = {
    "name": "x",
    "data": {"source": "digits"},
    "model": "mlp",
    "objective": "cross_entropy",
}


class CountJob(JobSection):
    """A job that counts."""

    kind: Literal["count"] = Field("count", description="what kind of job this is")
    upto: int = Field(gt=0, description="last number")
    steps_of: list[int] = Field(default_factory=list, description="numbers to pass over")


def rules(job: Job[CountJob]) -> list[Problem]:
    late = [n for n in job.spec.steps_of if n > job.spec.upto]
    return [Problem("steps_of", "is above upto", late)] if late else []


def validation(job: Job[CountJob]) -> Validation:
    return Validation(job.spec.name, "nowhere", job.spec.upto)


def runner(job: Job[CountJob], request: Request) -> RunResult:
    metrics = {"sum": float(sum(range(job.spec.upto + 1)))}
    return RunResult(job.spec.name, "finished", metrics, "nowhere", None, 0.0, job.spec.upto)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second kind, as another package would add it."""
    # The import mode gives test modules no importable name; the registry takes any module.
    monkeypatch.setitem(sys.modules, "counting", sys.modules[__name__])
    places = {key: f"counting:{key}" for key in ("rules", "validation", "runner")}
    kind = Kind("count", "counts", form="counting:CountJob", **places)
    monkeypatch.setitem(KINDS, "count", kind)


@pytest.mark.usefixtures("counting")
class TestASecondKind:
    def test_the_kind_decides_the_form(self):
        job = Job.from_dict({"kind": "count", "name": "c", "upto": 3})
        assert isinstance(job.spec, CountJob)
        assert kind_of(job).name == "count"
        assert kind_of(Job.from_dict(TRAIN)).name == "train"

    def test_its_validation_and_its_run_are_called(self):
        values = {"kind": "count", "name": "c", "upto": 4}
        assert trainwright.validate(values).steps == 4
        assert trainwright.run(values).metrics == {"sum": 10.0}

    def test_problems_are_those_of_its_own_form(self):
        with pytest.raises(JobError) as caught:
            Job.from_dict({"kind": "count", "name": "c", "upto": 0, "stepsof": [1]})
        told = {problem.path: problem for problem in caught.value.problems}
        assert told["upto"].allowed == "whole number > 0"
        assert told["stepsof"].nearest == "steps_of"
        assert "extends" in told["stepsof"].allowed

    def test_its_rules_are_checked_with_their_place(self, tmp_path: Path):
        file = tmp_path / "job.yaml"
        file.write_text("kind: count\nname: c\nupto: 2\nsteps_of: [1, 3]\n")
        with pytest.raises(JobError) as caught:
            Job.load(file)
        (problem,) = caught.value.problems
        assert (problem.path, problem.location.line) == ("steps_of", 4)

    def test_an_unknown_kind_names_all(self):
        with pytest.raises(JobError) as caught:
            Job.from_dict({**TRAIN, "kind": "tarin"})
        (problem,) = caught.value.problems
        assert (problem.path, problem.got, problem.nearest) == ("kind", "tarin", "train")
        assert problem.allowed == ", ".join(KINDS)

    def test_an_unknown_kind_hides_no_other_mistake(self):
        with pytest.raises(JobError) as caught:
            Job.from_dict({"kind": "cuont", "name": "c", "upto": -1})
        assert {problem.path for problem in caught.value.problems} == {"kind", "upto"}

    @pytest.mark.parametrize("kind", [5, None, ["train"], {"train": 1}])
    def test_a_kind_that_is_no_text(self, kind: object):
        with pytest.raises(JobError) as caught:
            Job.from_dict({**TRAIN, "kind": kind})
        assert [problem.path for problem in caught.value.problems] == ["kind"]

    def test_a_key_of_another_kind_is_told_as_such(self):
        with pytest.raises(JobError) as caught:
            Job.from_dict({"name": "c", "upto": 3})
        told = {problem.path: problem for problem in caught.value.problems}
        assert told["upto"].mend == "a job with this key is of kind: count"

    def test_options_that_a_kind_does_not_know_are_refused(self):
        values = {"kind": "count", "name": "c", "upto": 4}
        with pytest.raises(InputError) as caught:
            trainwright.run(values, resume="other")
        (problem,) = caught.value.problems
        assert problem.path == "--resume"
        assert problem.allowed == "kind: train"

    def test_the_schema_tells_the_kinds_apart(self):
        import jsonschema

        validator = jsonschema.Draft202012Validator(job_schema())
        validator.validate({"kind": "count", "name": "c", "upto": 3})
        validator.validate(TRAIN)
        validator.validate({**TRAIN, "kind": "train"})
        assert not validator.is_valid({"kind": "count", "name": "c"})
        assert not validator.is_valid({**TRAIN, "kind": "count"})
        assert not validator.is_valid({"name": "c", "upto": 3})
        assert not validator.is_valid({**TRAIN, "kind": "tarin"})


def test_every_kind_can_be_imported():
    for kind in KINDS.values():
        assert issubclass(kind.model, JobSection)
        assert kind.model.model_fields["kind"].default == kind.name
        for path in (kind.rules, kind.validation, kind.runner, kind.screen):
            module, _, name = path.partition(":")
            assert hasattr(importlib.import_module(module), name), path


def test_reading_a_job_loads_no_training(tmp_path: Path):
    (tmp_path / "job.json").write_text(json.dumps(TRAIN))
    code = (
        "import sys; from trainwright.job import Job; Job.load('job.json');"
        "print([n for n in ('torch', 'ray', 'mlflow', 'deepspeed') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
