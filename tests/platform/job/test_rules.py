from __future__ import annotations

import inspect

import compiled_jobs
import pytest
import streaming_jobs

from trainwright.errors import JobError, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins
from trainwright.job.cluster_rules import CLUSTER_RULES
from trainwright.job.deepspeed_rules import partitions_divide_the_workers
from trainwright.job.rules import RULES, broken_rules

MINIMAL = {"name": "x", "data": {"source": "digits"}, "model": "mlp", "objective": "mse"}
_twice = ["early_stopping", "multi_sample_dropout", "early_stopping"]
COLUMNS = {"image": {"type": "image", "shape": [1, 8, 8]}, "target": {"type": "class"}}
FILES = {"source": "a.parquet", "columns": COLUMNS}
ALL = {rule.__name__: rule for rule in RULES}

KEPT = [
    {},
    *streaming_jobs.KEPT,
    {"training": {"epochs": 2}},
    {"training": {"steps": 2}},
    {"cluster": {"workers": 0}, "storage": "memory://runs"},
    {"cluster": {"workers": 0}, "data": {"source": "memory://a.csv", "columns": COLUMNS}},
    {"cluster": {"workers": 8}, "data": {"source": "digits", "batch_size": 8}},
    {"data": {"source": "digits", "batch_size": 8}, "training": {"micro_batch_size": 8}},
    {"training": {"precision": "bf16"}},
    {"training": {"precision": "fp16"}, "cluster": {"gpus_per_worker": 0.5}},
    {"engine": "local", "cluster": {"workers": 1}},
    {"engine": "local", "cluster": {"workers": 0}},
    {"engine": "deepspeed", "cluster": {"workers": 4}},
    {"strategies": ["a", "b"]},
    {"storage": "s3://bucket/runs"},
    {"storage": "file:///runs"},
    {"cluster": {"address": "10.0.0.1:6379"}},
    {"cluster": {"address": "ray://head:10001"}},
    {"cluster": {"address": "auto"}},
    {"data": FILES},
    {"data": {**FILES, "source": {"name": "s3://bucket/a/*.csv"}}},
    {"data": {**FILES, "source": "folder", "format": "csv"}},
    {"data": {**FILES, "validation": {"source": "b.parquet"}}},
    {"data": {"source": "digits", "validation": 0.4, "test": {"fraction": 0.5, "seed": 1}}},
    {"data": {"source": "digits", "validation": 0.2}, "metrics": ["accuracy"]},
    {"data": {"source": "digits", "test": 0.2}, "metrics": ["accuracy"]},
    {
        "data": {"source": "digits", "validation": 0.2},
        "training": {"evaluate_every": "1 epoch", "monitor": "validation/loss"},
    },
    {
        "data": {"source": "digits", "validation": 0.2},
        "metrics": ["accuracy", "my.package.Recall"],
        "training": {"monitor": "validation/Recall"},
    },
    {
        "data": {"source": "digits", "validation": 0.2},
        "metrics": ["confusion"],
        "training": {"monitor": "validation/confusion/class_3"},
    },
    {
        "data": {"source": "digits", "validation": 0.2},
        "objective": ["mse", "losses.py:Mine"],
        "training": {"monitor": "validation/Mine"},
    },
    {"data": {"source": "a.csv", "columns": {"t": {"type": "tokens", "length": 8, "classes": 9}}}},
    {"deepspeed": {"zero_optimization": {"stage": 3, "reduce_bucket_size": 5e8}}},
    {"deepspeed": {"zero_optimization": {"stage": 1, "offload_optimizer": {"device": "cpu"}}}},
    {"model": {"name": "m", "outputs": ["a", "b"]}},
    *compiled_jobs.RIGHT,
]

_two = {"workers": 2}
BROKEN = [
    *streaming_jobs.BROKEN,
    *compiled_jobs.BROKEN,
    ("epochs_or_steps", {"training": {"epochs": 2, "steps": 3}}, "training.steps"),
    (
        "every_worker_gets_samples",
        {"cluster": {"workers": 9}, "data": {"source": "digits", "batch_size": 8}},
        "data.batch_size",
    ),
    (
        "micro_batch_fits_batch",
        {"data": {"source": "digits", "batch_size": 8}, "training": {"micro_batch_size": 9}},
        "training.micro_batch_size",
    ),
    ("fp16_has_a_gpu", {"training": {"precision": "fp16"}}, "training.precision"),
    ("local_engine_is_alone", {"engine": "local", "cluster": _two}, "engine"),
    ("strategies_differ", {"strategies": _twice}, "strategies.2"),
    ("strategies_differ", {"strategies": [{"name": "early_stopping"}] * 2}, "strategies.1.name"),
    ("storage_outlives_the_process", {"storage": "memory://x"}, "storage"),
    ("storage_has_a_known_protocol", {"storage": "s4://x"}, "storage"),
    ("address_has_a_port", {"cluster": {"address": "head:0"}}, "cluster.address"),
    ("address_has_a_port", {"cluster": {"address": "head:70000"}}, "cluster.address"),
    ("outputs_differ", {"model": {"name": "mlp", "outputs": ["a", "a"]}}, "model.outputs"),
    (
        "memory_stays_in_process",
        {"data": {**FILES, "source": "memory://a.parquet"}},
        "data.source",
    ),
    (
        "memory_stays_in_process",
        {"data": {**FILES, "validation": {"source": "memory://a.parquet"}}},
        "data.validation.source",
    ),
    ("plugins_have_no_columns", {"data": {"source": "digits", "columns": COLUMNS}}, "data.columns"),
    (
        "files_have_no_options",
        {"data": {**FILES, "source": {"name": "a.csv", "sep": ";"}}},
        "data.source.sep",
    ),
    ("held_out_in_one_way", {"data": {"source": "digits", "validation": {}}}, "data.validation"),
    (
        "held_out_in_one_way",
        {"data": {"source": "digits", "test": {"fraction": 0.1, "source": "wine"}}},
        "data.test",
    ),
    (
        "own_source_is_not_split",
        {"data": {"source": "digits", "test": {"source": "wine", "stratify": True}}},
        "data.test.stratify",
    ),
    (
        "own_source_is_not_split",
        {"data": {"source": "digits", "test": {"source": "wine", "seed": 1}}},
        "data.test.seed",
    ),
    (
        "something_is_left_to_train",
        {"data": {"source": "digits", "validation": 0.5, "test": {"fraction": 0.5}}},
        "data.test.fraction",
    ),
    (
        "sample_id_is_reserved",
        {"data": {"source": "a.csv", "columns": {"sample_id": {"type": "value"}}}},
        "data.columns.sample_id",
    ),
    (
        "columns_fit_their_type",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "value", "classes": 3}}}},
        "data.columns.t.classes",
    ),
    (
        "columns_fit_their_type",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "class", "shape": [3]}}}},
        "data.columns.t.shape",
    ),
    (
        "columns_fit_their_type",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "image", "shape": [8, 8]}}}},
        "data.columns.t.shape",
    ),
    (
        "columns_fit_their_type",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "vector", "length": 3}}}},
        "data.columns.t.length",
    ),
    (
        "columns_fit_their_type",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "tokens", "classes": ["a"]}}}},
        "data.columns.t.classes",
    ),
    (
        "labels_differ",
        {"data": {"source": "a.csv", "columns": {"t": {"type": "class", "classes": ["a", "a"]}}}},
        "data.columns.t.classes",
    ),
    ("metrics_are_evaluated", {"metrics": ["accuracy"]}, "metrics"),
    (
        "evaluation_has_data",
        {"training": {"evaluate_every": "1 epoch"}},
        "training.evaluate_every",
    ),
    ("monitor_has_data", {"training": {"monitor": "validation/loss"}}, "training.monitor"),
    (
        "keys_are_not_owned",
        {"deepspeed": {"train_batch_size": 8}},
        "deepspeed.train_batch_size",
    ),
    ("keys_are_supported", {"deepspeed": {"pipeline": {}}}, "deepspeed.pipeline"),
    ("settings_are_known", {"deepspeed": {"zero": {}}}, "deepspeed.zero"),
    (
        "stage_fits_offload",
        {"deepspeed": {"zero_optimization": {"stage": 2, "offload_param": {"device": "cpu"}}}},
        "deepspeed.zero_optimization.offload_param",
    ),
]


def refused(sections: dict) -> list[Problem]:
    with pytest.raises(JobError) as caught:
        Job.from_dict({**MINIMAL, **sections})
    return caught.value.problems


UNKNOWN_MONITORS = [
    ("validation/acc", "training.monitor"),
    ({"metric": "train/loss"}, "training.monitor"),
]


@pytest.mark.parametrize(("monitor", "path"), UNKNOWN_MONITORS)
def test_a_monitor_that_no_evaluation_gives(monitor, path):
    data = {"source": "digits", "validation": 0.2}
    job = Job.from_dict({**MINIMAL, "data": data, "training": {"monitor": monitor}})
    [problem] = check_plugins(job)
    assert problem.path.startswith(path)
    assert problem.allowed == "validation/loss"


def test_a_misspelt_metric_is_told_as_such_and_not_as_a_wrong_monitor():
    data = {"source": "digits", "validation": 0.2}
    training = {"monitor": "validation/accuracy"}
    job = Job.from_dict({**MINIMAL, "data": data, "training": training, "metrics": ["accurracy"]})
    [problem] = check_plugins(job)
    assert (problem.path, problem.nearest) == ("metrics.0", "accuracy")


@pytest.mark.parametrize("sections", KEPT)
def test_jobs_that_keep_every_rule(sections):
    assert broken_rules(Job.from_dict({**MINIMAL, **sections}).spec) == []


@pytest.mark.parametrize(("rule", "sections", "path"), BROKEN)
def test_a_broken_rule_gives_one_problem_at_its_place(rule, sections, path):
    problems = refused(sections)
    assert [problem.path for problem in problems] == [path]
    assert problems[0].message
    names = [name for name, check in ALL.items() if _breaks(check, sections)]
    assert names == [rule]


def _breaks(check, sections) -> bool:
    from trainwright.job import TrainJob

    return bool(check(TrainJob.model_validate({**MINIMAL, **sections}, strict=True)))


def test_every_rule_is_broken_by_a_test():
    elsewhere = {rule.__name__ for rule in (*CLUSTER_RULES, partitions_divide_the_workers)}
    untested = set(ALL) - {rule for rule, _, _ in BROKEN} - elsewhere - {"deepspeed_runs_on_linux"}
    assert not untested


def test_every_rule_says_what_it_keeps():
    for rule in RULES:
        assert inspect.getdoc(rule), rule.__name__
        assert len(inspect.getsource(rule).splitlines()) <= 40


@pytest.mark.parametrize(
    ("sections", "is_broken"),
    [
        ({"engine": "deepspeed"}, True),
        ({"engine": "auto", "cluster": {"workers": 2}}, True),
        ({"engine": "auto", "cluster": {"workers": 0}}, False),
        ({"engine": "local", "cluster": {"workers": 1}}, False),
    ],
)
def test_deepspeed_runs_on_linux(monkeypatch, sections, is_broken):
    monkeypatch.setattr("sys.platform", "darwin")
    if not is_broken:
        assert Job.from_dict({**MINIMAL, **sections})
        return
    (problem,) = refused(sections)
    assert problem.path == "engine"
    assert "engine: local" in problem.allowed


@pytest.mark.parametrize("monitor", ["validation/acuracy", "accuracy"])
def test_a_monitor_with_a_slip_names_the_metric(monitor):
    data = {"source": "digits", "validation": 0.2}
    job = {**MINIMAL, "data": data, "metrics": ["accuracy"], "training": {"monitor": monitor}}
    assert check_plugins(Job.from_dict(job))[0].nearest == "validation/accuracy"


def test_what_works_instead_is_said():
    assert "file://" in refused({"data": {**FILES, "source": "memory://a.csv"}})[0].allowed
    assert "s3://" in refused({"data": {**FILES, "source": "memory://a.csv"}})[0].allowed
    (local,) = refused({"engine": "local", "cluster": _two})
    assert "deepspeed" in local.allowed
    assert "cluster.workers: 0" in local.mend
    assert refused({"storage": "s33://x"})[0].nearest == "s3"


def test_several_rules_at_once():
    sections = {
        "engine": "local",
        "cluster": _two,
        "training": {"precision": "fp16", "epochs": 1, "steps": 1},
        "metrics": ["accuracy"],
    }
    assert len(refused(sections)) == 4
