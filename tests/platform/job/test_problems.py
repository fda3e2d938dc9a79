from __future__ import annotations

import math

import pytest
import yaml

from trainwright.errors import JobError, Location, Problem
from trainwright.job import Job

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


@pytest.mark.parametrize(
    ("sections", "path", "allowed", "mend"),
    [
        ({"training": {"epochs": "20"}}, "training.epochs", "whole number > 0", "write 20"),
        ({"training": {"epochs": True}}, "training.epochs", "whole number > 0", None),
        ({"training": {"epochs": 1.0}}, "training.epochs", "whole number", "write 1"),
        ({"training": {"epochs": "1_000"}}, "training.epochs", "whole number", "write 1000"),
        ({"training": {"epochs": 0}}, "training.epochs", "> 0", None),
        ({"training": {"epochs": [2]}}, "training.epochs", "whole number", None),
        (
            {"training": {"deterministic": "yes"}},
            "training.deterministic",
            "true",
            "write true",
        ),
        ({"training": {"deterministic": 1}}, "training.deterministic", "true or false", None),
        ({"training": {"max_grad_norm": math.inf}}, "training.max_grad_norm", "number", None),
        ({"training": {"max_grad_norm": "1.5"}}, "training.max_grad_norm", "> 0", "write 1.5"),
        ({"training": 5}, "training", "a section with the keys epochs", None),
        ({"training": None}, "training", "a section", None),
        ({"training": []}, "training", "a section", None),
        ({"version": 2}, "version", "1", None),
        ({"version": True}, "version", "1", None),
        ({"version": 1.0}, "version", "1", "write 1"),
        ({"kind": "trian"}, "kind", "train", None),
        ({"name": 5}, "name", "letters", 'put quotes around it: "5"'),
        ({"name": "a b"}, "name", "letters", None),
        ({"name": ""}, "name", "letters", None),
        ({"name": "x" * 64}, "name", "63", None),
        ({"seed": -1}, "seed", ">= 0", None),
        ({"seed": 2**63}, "seed", "<", None),
        ({"data": "digits"}, "data", "a section with the keys source", None),
        ({"data": {"source": 5}}, "data.source", "name of a dataset", None),
        ({"data": {"source": ""}}, "data.source", "name of a dataset", None),
        ({"data": {"source": {"name": 5}}}, "data.source.name", "text", '"5"'),
        ({"data": {"source": "digits", "validation": 1.5}}, "data.validation", "< 1", None),
        ({"data": {"source": "digits", "validation": 0}}, "data.validation", "> 0", None),
        ({"data": {"source": "digits", "validation": "20%"}}, "data.validation", "< 1", None),
        ({"data": {"source": "digits", "validation": True}}, "data.validation", "< 1", None),
        (
            {"data": {"source": "digits", "validation": {"fraction": 2}}},
            "data.validation.fraction",
            "< 1",
            None,
        ),
        (
            {"data": {"source": "digits", "test": {"source": 5}}},
            "data.test.source",
            "a plugin",
            None,
        ),
        ({"data": {"source": "digits", "batch_size": "64"}}, "data.batch_size", "> 0", "write 64"),
        ({"data": {"source": "digits", "transforms": "scale"}}, "data.transforms", "a list", None),
        ({"model": 5}, "model", "a plugin: its name", None),
        ({"model": []}, "model", "a plugin: its name", None),
        ({"model": ""}, "model", "a plugin: its name", None),
        ({"model": {"name": "mlp", "inputs": {"x": 1}}}, "model.inputs.x", "text", '"1"'),
        ({"model": {"name": "mlp", "outputs": "logits"}}, "model.outputs", "a list", None),
        ({"objective": 5}, "objective", "a plugin", None),
        ({"objective": []}, "objective", "a plugin", None),
        ({"objective": ["mse", 5]}, "objective.1", "a plugin", None),
        ({"objective": {"name": "l1", "weight": "x"}}, "objective.weight", "number", None),
        ({"objective": [{"name": "l1", "weight": "x"}]}, "objective.0.weight", "number", None),
        ({"objective": {"name": "l1", "weight": True}}, "objective.weight", "number", None),
        ({"objective": {"name": "l1", "bind": ["a"]}}, "objective.bind", "mapping", None),
        ({"strategies": "x"}, "strategies", "a list, each entry a plugin", None),
        ({"strategies": None}, "strategies", "a list", None),
        ({"strategies": [5]}, "strategies.0", "a plugin", None),
        ({"metrics": "accuracy"}, "metrics", "a list", None),
        ({"optimizer": ["sgd"]}, "optimizer", "a plugin", None),
        ({"deepspeed": 5}, "deepspeed", "mapping", None),
        ({"storage": 5}, "storage", "a folder or a URL", '"5"'),
        ({"storage": ""}, "storage", "a folder or a URL", None),
        ({"tracking": {"drain_timeout_s": -1}}, "tracking.drain_timeout_s", ">= 0", None),
        ({"tracking": {"enabled": "off"}}, "tracking.enabled", "true", "write false"),
        ({"cluster": {"workers": 2.0}}, "cluster.workers", ">= 0", "write 2"),
        ({"cluster": {"workers": [1]}}, "cluster.workers", "such as [1, 4]", None),
        ({"cluster": {"workers": [1, 2, 3]}}, "cluster.workers", "such as [1, 4]", None),
        ({"cluster": {"workers": []}}, "cluster.workers", "such as [1, 4]", None),
        ({"cluster": {"workers": [0, 4]}}, "cluster.workers.0", "> 0", None),
        ({"cluster": {"workers": [1, 4.0]}}, "cluster.workers.1", "> 0", "write 4"),
        ({"cluster": {"workers": "1-4"}}, "cluster.workers", "such as [1, 4]", None),
        ({"cluster": {"cpus_per_worker": 0}}, "cluster.cpus_per_worker", "> 0", None),
        ({"cluster": {"address": "somewhere"}}, "cluster.address", "host:port", None),
    ],
)
def test_wrong_values(sections, path, allowed, mend):
    problem = only(**sections)
    assert problem.path == path
    assert allowed in (problem.allowed or "")
    assert (mend is None) == (problem.mend is None), problem.mend
    assert (mend or "") in (problem.mend or "")


@pytest.mark.parametrize(
    ("sections", "path", "nearest"),
    [
        ({"engine": "deepsped"}, "engine", "deepspeed"),
        ({"engine": "Local"}, "engine", "local"),
        ({"training": {"precision": "fp23"}}, "training.precision", "fp32"),
        ({"tracking": {"log_model": "nevr"}}, "tracking.log_model", "never"),
        ({"cluster": {"address": "locla"}}, "cluster.address", "local"),
        (
            {"training": {"monitor": {"metric": "m", "mode": "maxx"}}},
            "training.monitor.mode",
            "max",
        ),
        ({"data": {"source": "digits", "format": "parqet"}}, "data.format", "parquet"),
        (
            {"data": {"source": "a.csv", "columns": {"a": {"type": "clas"}}}},
            "data.columns.a.type",
            "class",
        ),
    ],
)
def test_wrong_words_name_the_nearest(sections, path, nearest):
    problem = only(**sections)
    assert (problem.path, problem.nearest) == (path, nearest)


@pytest.mark.parametrize(
    ("value", "nearest"),
    [
        (5, None),
        ("5", None),
        ("2 epochss", "2 epochs"),
        ("200 setps", "200 steps"),
        ("1 epoc", "1 epoch"),
        ("3 weeks", None),
        ("0 steps", "0 steps"),
        ("1.5 steps", "1.5 steps"),
        ("-1 epoch", None),
        (True, None),
        (None, None),
        ("often", None),
    ],
)
@pytest.mark.parametrize("key", ["evaluate_every", "checkpoint_every"])
def test_durations(key, value, nearest):
    problem = only(data={"source": "digits", "validation": 0.1}, training={key: value})
    assert problem.path == f"training.{key}"
    assert "'200 steps', '1 epoch'" in problem.allowed
    if nearest not in ("0 steps", "1.5 steps"):
        assert problem.nearest == nearest


@pytest.mark.parametrize(
    ("sections", "path", "nearest"),
    [
        ({"epochs": 3}, "epochs", "training.epochs"),
        ({"batch_size": 3}, "batch_size", "data.batch_size"),
        ({"workers": 3}, "workers", "cluster.workers"),
        ({"lr": 3}, "lr", "optimizer.lr"),
        ({"training": {"lr": 3}}, "training.lr", "optimizer.lr"),
        ({"training": {"seed": 3}}, "training.seed", "seed"),
        ({"training": {"batch_size": 3}}, "training.batch_size", "data.batch_size"),
        ({"loss": "mse"}, "loss", "objective"),
        ({"scheduler": "cosine"}, "scheduler", "schedule"),
        ({"extend": "x"}, "extend", "extends"),
        ({"tracking": {"url": "x"}}, "tracking.url", "uri"),
        ({"data": {"source": "digits", "name": "x"}}, "data.name", "source"),
        ({"xyzzy": 1}, "xyzzy", None),
    ],
)
def test_unknown_keys_name_where_they_belong(sections, path, nearest):
    problem = only(**sections)
    assert (problem.path, problem.nearest) == (path, nearest)


def test_a_missing_key():
    values = {key: value for key, value in MINIMAL.items() if key != "data"}
    with pytest.raises(JobError) as caught:
        Job.from_dict(values)
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == ("data", "is missing")


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"data": {}}, "data.source"),
        ({"data": {"source": {"n": 3}}}, "data.source.name"),
        ({"model": {"hidden": [3]}}, "model.name"),
        ({"objective": {"a": 1}}, "objective.name"),
        ({"objective": ["mse", {"a": 1}]}, "objective.1.name"),
        ({"strategies": [{}]}, "strategies.0.name"),
        ({"training": {"monitor": {"mode": "max"}}}, "training.monitor.metric"),
        ({"data": {"source": "a.csv", "columns": {"a": {}}}}, "data.columns.a.type"),
    ],
)
def test_a_missing_key_inside_a_section(sections, path):
    problem = only(**sections)
    assert (problem.path, problem.message) == (path, "is missing")


def test_a_misspelt_key_is_one_mistake_although_the_right_one_is_missing():
    problem = only(data={"soruce": "digits"})
    assert (problem.path, problem.nearest) == ("data.soruce", "source")


def test_a_misspelt_name_of_a_plugin():
    problem = only(objective={"nmae": "z_loss", "a": 1})
    assert (problem.path, problem.nearest) == ("objective.nmae", "name")


def test_alternatives_give_one_problem_each():
    columns = {"a": {"type": "class", "classes": ["x", 1.5, None], "from": 3}}
    problems = refused(data={"source": "a.csv", "columns": columns})
    assert [problem.path for problem in problems] == [
        "data.columns.a.from",
        "data.columns.a.classes.1",
        "data.columns.a.classes.2",
    ]
    assert problems[1].allowed == "text or whole number"


def test_several_mistakes_sorted_by_line(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "seed: x\nname: a\nobjective: {weight: no}\nmodel: mlp\nepochs: 3\n"
        "data:\n  source: digits\n  batch_size: 0\n"
    )
    with pytest.raises(JobError) as caught:
        Job.load(path)
    problems = caught.value.problems
    assert [(p.path, p.location.line) for p in problems] == [
        ("seed", 1),
        ("objective.name", 3),
        ("objective.weight", 3),
        ("epochs", 5),
        ("data.batch_size", 8),
    ]
    assert {p.location.file for p in problems} == {str(path)}


def test_a_mistake_in_an_override_is_told_there(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(JobError) as caught:
        Job.load(path, ["training.epocs=3"])
    (problem,) = caught.value.problems
    assert problem.location == Location("-s training.epocs=3")
    assert problem.nearest == "epochs"


def test_a_mistake_in_an_extended_file_is_told_there(tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**MINIMAL, "sed": 1}))
    (tmp_path / "job.yaml").write_text("extends: base.yaml\nname: y\n")
    with pytest.raises(JobError) as caught:
        Job.load(tmp_path / "job.yaml")
    assert caught.value.problems[0].location == Location(str(tmp_path / "base.yaml"), 6)
