from __future__ import annotations

import math
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from trainwright.durations import Duration
from trainwright.errors import JobError, Location, Problem
from trainwright.job import Job, TrainJob

MINIMAL = {"name": "x", "data": {"source": "digits"}, "model": "mlp", "objective": "mse"}


def job(**sections) -> Job:
    return Job.from_dict({**MINIMAL, **sections})


def refused(**sections) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        job(**sections)
    assert caught.value.exit_status == 2
    return caught.value.problems


def only(**sections) -> Problem:
    problems = refused(**sections)
    assert len(problems) == 1, [str(problem) for problem in problems]
    return problems[0]


class TestLoad:
    def test_a_file(self, tmp_path):
        path = tmp_path / "job.yaml"
        text = "# my job\n" + yaml.safe_dump(MINIMAL)
        path.write_text(text)
        found = Job.load(path, ["training.epochs=3", "seed=7"])
        assert isinstance(found.spec, TrainJob)
        assert (found.spec.training.epochs, found.spec.seed) == (3, 7)
        assert found.base == tmp_path
        assert found.source == text
        assert found.document.location_of("name").file == str(path)

    def test_the_folder_of_a_relative_path_is_absolute(self, tmp_path, monkeypatch):
        (tmp_path / "job.yaml").write_text(yaml.safe_dump(MINIMAL))
        monkeypatch.chdir(tmp_path)
        found = Job.load("job.yaml")
        assert found.base == tmp_path
        assert found.document.location_of("name") == Location("job.yaml", 4)

    def test_a_dictionary(self, tmp_path):
        values = {
            **MINIMAL,
            "storage": Path("/runs"),
            "optimizer": {"name": "adamw", "betas": (0, 1)},
        }
        found = Job.from_dict(values, tmp_path, ["seed=2"])
        assert found.base == tmp_path
        assert found.spec.storage == "/runs"
        assert found.spec.optimizer.options == {"betas": [0, 1]}
        assert yaml.safe_load(found.source)["name"] == "x"
        assert Job.from_dict(MINIMAL).base == Path.cwd()

    @pytest.mark.parametrize(
        ("values", "path"),
        [
            ({"seed": object()}, "seed"),
            ({"model": {"name": "mlp", "hidden": [1, {2}]}}, "model.hidden.1"),
            ({"deepspeed": {1: 2}}, "deepspeed"),
            ({"extends": "base.yaml"}, "extends"),
            ({"seed": math.nan}, "seed"),
        ],
    )
    def test_a_dictionary_holds_what_a_file_could(self, values, path):
        assert only(**values).path == path

    def test_a_job_can_be_sent_to_another_process(self):
        found = job()
        assert pickle.loads(pickle.dumps(found)) == found

    def test_problems_get_their_place_later_too(self, tmp_path):
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(MINIMAL))
        placed = Job.load(path).locate(Problem("data.source", "is not there", got="digits"))
        assert placed.location == Location(str(path), 2)

    def test_importing_the_package_imports_no_library(self):
        code = (
            "import sys, trainwright.job; assert 'pydantic' not in sys.modules;"
            "from trainwright.job import Job; Job.from_dict({'name': 'x', 'data': {'source': 'd'},"
            "'model': 'm', 'objective': 'o', 'storage': 's3://b'});"
            "bad = {'torch', 'ray', 'mlflow', 'pyarrow'} & set(sys.modules); assert not bad, bad"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_unknown_names_of_the_package(self):
        import trainwright.job

        with pytest.raises(AttributeError):
            trainwright.job.Jobb  # noqa: B018


class TestForms:
    def test_short_forms(self):
        spec = job(
            data={"source": "digits", "validation": 0.25},
            metrics=["accuracy"],
            strategies=["early_stopping"],
            training={"monitor": "validation/accuracy", "evaluate_every": "50 steps"},
        ).spec
        assert spec.model.name == "mlp"
        assert spec.data.validation.fraction == 0.25
        assert spec.training.monitor.metric == "validation/accuracy"
        assert spec.training.evaluate_every == Duration(50, "steps")

    def test_objectives_one_or_many(self):
        assert [o.name for o in job().spec.objectives] == ["mse"]
        many = job(objective=["mse", {"name": "l1", "weight": 0.5}]).spec
        assert [(o.name, o.weight) for o in many.objectives] == [("mse", 1.0), ("l1", 0.5)]

    def test_whole_numbers_stand_for_numbers(self):
        spec = job(training={"max_grad_norm": 1}, cluster={"cpus_per_worker": 1}).spec
        assert spec.training.max_grad_norm == 1.0

    def test_a_job_survives_its_own_dump(self):
        spec = job(data={"source": {"name": "digits", "n": 3}, "validation": 0.2}).spec
        dumped = spec.model_dump(mode="json", by_alias=True)
        assert TrainJob.model_validate(dumped) == spec
