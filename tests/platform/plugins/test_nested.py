"""Plugins inside plugins, and paths beside the job."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import pytest

from trainwright.errors import JobError
from trainwright.job import Job
from trainwright.job.check import check_plugins, plugins_of, uses, with_inner
from trainwright.job.identity import run_name
from trainwright.job.plugin_spec import PluginSpec
from trainwright.orchestration.anchoring import anchored
from trainwright.orchestration.prepare import prepare
from trainwright.plugins.catalogue import card
from trainwright.plugins.describe import describe
from trainwright.plugins.markers import JobPath, Nested, holds_many, written_form

Make = Callable[..., object]


@pytest.mark.parametrize(
    ("annotation", "many", "form", "words"),
    [
        (Make, False, PluginSpec, "model, each by name with options"),
        (Make | None, False, PluginSpec | None, "model, each by name with options or null"),
        (Sequence[Make], True, list[PluginSpec], "list of models, each by name with options"),
        (
            list[Make] | None,
            True,
            list[PluginSpec] | None,
            "list of models, each by name with options or null",
        ),
    ],
)
def test_forms(annotation: Any, many: bool, form: Any, words: str) -> None:
    marked = Annotated[annotation, Nested("models")]
    assert holds_many(marked) == many
    assert written_form(marked) == form
    assert describe(marked) == words
    assert written_form(Annotated[str, JobPath()]) == Annotated[str, JobPath()]


JOB = """
name: views
data:
  source: digits
  batch_size: 64
  validation: 0.2
  transforms:
    - name: two_views
      transforms:
        - {name: random_crop, padding: 1}
        - random_flip
        - {name: "own.py:Negative", strength: 0.5}
model:
  name: two_tower
  query: {name: convnet, width: 8}
  dim: 16
  inputs: {query: view_1, document: view_2}
objective: {name: cosine_embedding, bind: {input1: query, input2: document, target: ones}}
cluster: {workers: 0}
"""

OWN = """
class Negative:
    def __init__(self, strength: float = 1.0) -> None:
        if strength > 1:
            raise ValueError("strength must be at most 1")
        self.strength = strength

    def __call__(self, batch, context):
        return {**batch, "image": -self.strength * batch["image"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path


def load(folder: Path, text: str = JOB) -> Job:
    (folder / "job.yaml").write_text(text)
    return Job.load(folder / "job.yaml")


def test_nested_plugins_are_found_and_their_files_travel(folder: Path) -> None:
    job = load(folder)
    every = [inner for use in uses(job.spec) for inner in with_inner(use, job.base)]
    found = {use.path: (use.group, use.spec.name) for use in every}
    assert found["data.transforms.0.transforms.0"] == ("transforms", "random_crop")
    assert found["data.transforms.0.transforms.1"] == ("transforms", "random_flip")
    assert found["model.query"] == ("models", "convnet")
    assert check_plugins(job) == []
    assert folder / "own.py" in {plugin.source_file for plugin in plugins_of(job)}


@pytest.mark.parametrize(
    ("before", "after", "path", "nearest"),
    [
        ("padding: 1", "paddin: 1", "data.transforms.0.transforms.0.paddin", "padding"),
        ("padding: 1", "padding: 0", "data.transforms.0.transforms.0.padding", None),
        ("random_flip", "random_flp", "data.transforms.0.transforms.1", "random_flip"),
        ("strength: 0.5", "strength: 2.0", "data.transforms.0.transforms.2.strength", None),
        ("width: 8", "widht: 8", "model.query.widht", "width"),
        ("name: convnet", "name: convnett", "model.query.name", "convnet"),
        ("query: {name: convnet, width: 8}", "query: 7", "model.query", None),
        ("  query: {name: convnet, width: 8}\n", "", "model.query", None),
    ],
)
def test_mistakes_inside_are_told_once_at_their_place(
    folder: Path, before: str, after: str, path: str, nearest: str | None
) -> None:
    assert before in JOB
    (problem,) = check_plugins(load(folder, JOB.replace(before, after)))
    assert (problem.path, problem.nearest) == (path, nearest)
    assert problem.location.line > 0


def test_cards_show_nested_options() -> None:
    options = {option.name: option for option in card("two_tower").options}
    assert options["query"].type == "model, each by name with options"
    assert options["query"].required
    assert options["document"].type.endswith("or null")
    views = {option.name: option for option in card("two_views").options}
    assert views["transforms"].type == "list of transforms, each by name with options"


PATHS = """
name: paths
data: {source: {name: text, files: [a.txt, "s3://bucket/b.txt"]}}
model: {name: two_tower, query: {name: hf, path: bert}, dim: 16}
objective: causal_lm
"""


def test_paths_are_anchored_at_any_depth(folder: Path) -> None:
    job = load(folder, PATHS)
    spec = anchored(job.spec, job.base)
    assert spec.data.source.options["files"] == [f"{folder}/a.txt", "s3://bucket/b.txt"]
    query = PluginSpec.model_validate(spec.model.options["query"])
    assert (query.name, query.options) == ("hf", {"path": f"{folder}/bert"})
    plain = load(folder)  # nothing to anchor, nothing changes
    assert anchored(plain.spec, plain.base) == plain.spec


def test_where_text_lies_does_not_name_the_run(folder: Path) -> None:
    def name(text: str) -> str:
        return run_name(load(folder, text), data_fingerprint="same", plugin_files={})

    assert name(PATHS) == name(PATHS.replace("a.txt", "b.txt"))
    assert name(PATHS) != name(PATHS.replace("dim: 16", "dim: 17"))


def test_a_nested_plugin_of_a_wrong_form_is_refused(folder: Path) -> None:
    text = JOB.replace("- random_flip", "- {padding: 3}")
    job = load(folder, text)
    with pytest.raises(JobError) as caught:
        prepare(job)
    assert caught.value.problems[0].path.startswith("data.transforms.0.transforms.1")
