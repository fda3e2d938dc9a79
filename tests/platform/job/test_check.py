from __future__ import annotations

import textwrap

import pytest

from trainwright.errors import PluginError, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins, plugins_of, uses

MINIMAL = {"name": "x", "data": {"source": "digits"}, "model": "mlp", "objective": "mse"}


def problems(base=None, **sections) -> list[Problem]:
    return check_plugins(Job.from_dict({**MINIMAL, **sections}, base))


def only(base=None, **sections) -> Problem:
    found = problems(base, **sections)
    assert len(found) == 1, [str(problem) for problem in found]
    return found[0]


def test_a_job_whose_plugins_are_right():
    assert (
        problems(
            data={
                "source": {"name": "synthetic_images", "num_samples": 8},
                "validation": {"source": "digits"},
                "transforms": ["standardize", {"name": "scale", "factor": 2}],
            },
            model={"name": "resnet", "depth": 8, "inputs": {"x": "image"}},
            objective=[{"name": "z_loss", "a": 2, "weight": 0.5}, "CrossEntropyLoss"],
            strategies=[{"name": "multi_sample_dropout", "num_samples": 2}],
            optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True},
            schedule={"name": "cosine", "warmup": 0.1},
            metrics=["accuracy", {"name": "top_k_accuracy", "k": 2}],
        )
        == []
    )


def test_every_place_that_names_a_plugin():
    job = Job.from_dict(
        {
            "name": "x",
            "data": {
                "source": "digits",
                "validation": {"source": {"name": "wine"}},
                "test": {"fraction": 0.1},
                "transforms": ["scale"],
            },
            "model": "mlp",
            "objective": ["mse", "l1"],
            "strategies": ["early_stopping"],
            "metrics": ["accuracy"],
        }
    )
    assert [(use.group, use.spec.name, use.path) for use in uses(job.spec)] == [
        ("datasets", "digits", "data.source"),
        ("datasets", "wine", "data.validation.source"),
        ("transforms", "scale", "data.transforms.0"),
        ("models", "mlp", "model"),
        ("objectives", "mse", "objective.0"),
        ("objectives", "l1", "objective.1"),
        ("strategies", "early_stopping", "strategies.0"),
        ("optimizers", "adamw", "optimizer"),
        ("schedules", "constant", "schedule"),
        ("metrics", "accuracy", "metrics.0"),
    ]
    assert [plugin.name for plugin in plugins_of(job)] == [use.spec.name for use in uses(job.spec)]


def test_files_are_no_dataset_plugins():
    columns = {"t": {"type": "value"}}
    job = Job.from_dict({**MINIMAL, "data": {"source": "s3://b/a.csv", "columns": columns}})
    assert "datasets" not in {use.group for use in uses(job.spec)}


@pytest.mark.parametrize(
    ("sections", "path", "nearest"),
    [
        ({"data": {"source": "digts"}}, "data.source", "digits"),
        ({"data": {"source": {"name": "digts"}}}, "data.source.name", "digits"),
        ({"data": {"source": "wine", "test": {"source": "wien"}}}, "data.test.source", "wine"),
        ({"data": {"source": "wine", "transforms": ["scal"]}}, "data.transforms.0", "scale"),
        ({"model": "resnt"}, "model", "resnet"),
        ({"objective": "zloss"}, "objective", "z_loss"),
        ({"objective": ["mse", {"name": "zloss"}]}, "objective.1.name", "z_loss"),
        ({"strategies": ["gost_batch_norm"]}, "strategies.0", "ghost_batch_norm"),
        ({"optimizer": "adma"}, "optimizer", "adam"),
        ({"schedule": {"name": "cosin"}}, "schedule.name", "cosine"),
        (
            {"data": {"source": "wine", "test": 0.1}, "metrics": ["acuracy"]},
            "metrics.0",
            "accuracy",
        ),
    ],
)
def test_unknown_names(sections, path, nearest):
    problem = only(**sections)
    assert (problem.path, problem.nearest) == (path, nearest)


@pytest.mark.parametrize(
    ("sections", "path", "nearest"),
    [
        ({"model": {"name": "mlp", "hiden": [3]}}, "model.hiden", "hidden"),
        ({"model": {"name": "mlp", "input": {"x": "y"}}}, "model.input", "inputs"),
        ({"objective": {"name": "z_loss", "aa": 1}}, "objective.aa", "a"),
        ({"objective": {"name": "z_loss", "weigth": 1}}, "objective.weigth", "weight"),
        ({"objective": {"name": "z_loss", "bnid": {}}}, "objective.bnid", "bind"),
        ({"objective": {"name": "z_loss", "options": {"aa": 1}}}, "objective.options.aa", "a"),
        (
            {"objective": {"name": "z_loss", "options": {"weight": 1}}},
            "objective.options.weight",
            None,
        ),
        (
            {"strategies": ["early_stopping", {"name": "multi_sample_dropout", "num_sample": 3}]},
            "strategies.1.num_sample",
            "num_samples",
        ),
        ({"optimizer": {"name": "adamw", "rl": 1}}, "optimizer.rl", "lr"),
        ({"schedule": {"name": "cosine", "warmpu": 1}}, "schedule.warmpu", "warmup"),
        ({"data": {"source": {"name": "digits", "zz": 1}}}, "data.source.zz", None),
    ],
)
def test_unknown_options(sections, path, nearest):
    problem = only(**sections)
    assert (problem.path, problem.nearest) == (path, nearest)


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"objective": {"name": "z_loss", "a": "1"}}, "objective.a"),
        ({"objective": {"name": "z_loss", "a": True}}, "objective.a"),
        ({"model": {"name": "mlp", "hidden": [8, "x"]}}, "model.hidden.1"),
        (
            {"strategies": [{"name": "ghost_batch_norm", "ghost_batch_size": 0}]},
            "strategies.0.ghost_batch_size",
        ),
        ({"optimizer": {"name": "adamw", "betas": [0.9]}}, "optimizer.betas"),
        ({"objective": {"name": "z_loss", "options": 5}}, "objective.options"),
    ],
)
def test_wrong_values_of_options(sections, path):
    assert path in {problem.path for problem in problems(**sections)}


@pytest.mark.parametrize(
    ("sections", "path"),
    [
        ({"objective": {"name": "z_loss", "b": 1, "a": -1}}, "objective.a"),
        ({"objective": {"name": "z_loss", "b": 1, "options": {"a": -1}}}, "objective.options.a"),
        ({"optimizer": {"name": "sgd", "lr": 0.1, "nesterov": True}}, "optimizer.nesterov"),
        ({"objective": [{"name": "z_loss", "a": -1}]}, "objective.0.a"),
    ],
)
def test_what_only_the_constructor_refuses_is_told_at_the_option(sections, path):
    assert only(**sections).path == path


def test_two_options_that_are_refused_together_blame_the_plugin():
    problem = only(objective={"name": "z_loss", "a": -1, "eps": -1})
    assert problem.path == "objective"


def test_what_the_data_gives_need_not_be_said():
    assert (
        problems(model="mlp", data={"source": "digits", "validation": 0.1}, metrics=["accuracy"])
        == []
    )


def test_missing_options_are_told(tmp_path):
    problem = only(data={"source": "digits", "transforms": ["reshape"]})
    assert problem.path == "data.transforms.0.shape"


def test_a_misspelt_required_option_is_one_mistake():
    problem = only(data={"source": "digits", "transforms": [{"name": "reshape", "shpae": [64]}]})
    assert (problem.path, problem.nearest) == ("data.transforms.0.shpae", "shape")


def test_an_option_given_in_both_ways():
    problem = only(objective={"name": "z_loss", "a": 1, "options": {"a": 2}})
    assert problem.path == "objective.options.a"
    assert "twice" in problem.message


class TestFilesBesideTheJob:
    @pytest.fixture
    def folder(self, tmp_path):
        source = '''
            from torch import Tensor, nn

            class Mine(nn.Module):
                """A loss."""

                def __init__(self, gamma: float = 1.0) -> None:
                    super().__init__()
                    if gamma > 5:
                        raise RuntimeError("too much")

                def forward(self, logits: Tensor, target: Tensor) -> Tensor:
                    return logits.mean()
        '''
        (tmp_path / "losses.py").write_text(textwrap.dedent(source))
        (tmp_path / "broken.py").write_text("import no_such_module_anywhere\n")
        return tmp_path

    def test_found_and_checked(self, folder):
        assert problems(folder, objective={"name": "losses.py:Mine", "gamma": 2}) == []
        problem = only(folder, objective={"name": "losses.py:Mine", "gama": 2})
        assert (problem.path, problem.nearest) == ("objective.gama", "gamma")

    def test_a_class_that_is_not_there(self, folder):
        problem = only(folder, objective="losses.py:Mien")
        assert (problem.path, problem.nearest) == ("objective", "Mine")

    def test_a_file_that_cannot_be_imported(self, folder):
        problem = only(folder, objective="broken.py:Mine")
        assert "no_such_module_anywhere" in problem.message

    def test_a_constructor_that_fails_in_its_own_way(self, folder):
        problem = only(folder, objective={"name": "losses.py:Mine", "gamma": 9})
        assert "RuntimeError: too much" in problem.message

    def test_the_plugins_of_a_job_know_their_files(self, folder):
        job = Job.from_dict({**MINIMAL, "objective": "losses.py:Mine"}, folder)
        assert folder / "losses.py" in {plugin.source_file for plugin in plugins_of(job)}

    def test_plugins_that_cannot_be_found(self, folder):
        job = Job.from_dict({**MINIMAL, "objective": "losses.py:Mien"}, folder)
        with pytest.raises(PluginError):
            plugins_of(job)


def test_places_and_order(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(
        "name: x\nmetrics: [acuracy]\ndata:\n  source: digts\n  validation: 0.2\n"
        "model: mlp\nobjective:\n  name: z_loss\n  aa: 1\n"
    )
    found = check_plugins(Job.load(path, ["optimizer.name=adma"]))
    assert [(p.path, p.location.line) for p in found] == [
        ("metrics.0", 2),
        ("data.source", 4),
        ("objective.aa", 9),
        ("optimizer.name", 0),
    ]
    assert found[0].location.file == str(path)
    assert found[3].location.file == "-s optimizer.name=adma"
