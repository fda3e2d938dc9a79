"""Every key and value of real jobs spoilt in turn: each slip is found, placed and named."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from trainwright.errors import JobError, Location, Problem
from trainwright.job import Job
from trainwright.job.check import check_plugins

HERE = Path(__file__).parent
FILES = [
    HERE / "rich.yaml",
    *(
        path
        for path in sorted((HERE.parents[2] / "jobs").rglob("*.yaml"))
        if yaml.safe_load(path.read_text()).get("kind", "train") == "train"
    ),
]
NAMES_OF_THE_USER = re.compile(r".*(inputs|bind|columns)\.[^.]+")
"""Keys that a user chooses: arguments and columns, held against model and data later."""


@dataclass(frozen=True)
class Place:
    """A key or a value in the text of a job."""

    path: str
    key: str
    line: int
    start: int
    end: int

    def __str__(self) -> str:
        return self.path


def walk(node: Node, path: str = "") -> Iterator[tuple[str, ScalarNode, Node]]:
    """Path, key and value of every entry of every mapping."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            inner = f"{path}.{key.value}" if path else key.value
            yield inner, key, value
            yield from walk(value, inner)
    elif not isinstance(node, ScalarNode):
        for index, item in enumerate(node.value):
            yield from walk(item, f"{path}.{index}")


def keys(text: str) -> list[Place]:
    return [
        Place(path, key.value, key.start_mark.line + 1, key.start_mark.index, key.end_mark.index)
        for path, key, _ in walk(yaml.compose(text))
        if not NAMES_OF_THE_USER.fullmatch(path)
    ]


def scalars(text: str) -> list[Place]:
    return [
        Place(
            path, value.value, key.start_mark.line + 1, value.start_mark.index, value.end_mark.index
        )
        for path, key, value in walk(yaml.compose(text))
        if isinstance(value, ScalarNode)
    ]


def slips(word: str, chance: random.Random) -> list[str]:
    """One of each kind: a letter dropped, doubled, swapped with the next, replaced, added."""
    at = chance.randrange(len(word))
    other = chance.choice("jqxz")
    found = {word[:at] + word[at] + word[at:], word[:at] + other + word[at:]}
    if len(word) > 1:
        found |= {word[:at] + word[at + 1 :], word[:at] + other + word[at + 1 :]}
        left = min(at, len(word) - 2)
        found.add(word[:left] + word[left + 1] + word[left] + word[left + 2 :])
    return sorted(found - {word})


@pytest.fixture(autouse=True)
def _plugins_beside_the_jobs(tmp_path: Path) -> None:
    """What the jobs name as files stands beside their spoilt copies too."""
    for folder in {file.parent for file in FILES if file.parent != HERE}:
        for plugin in folder.glob("*.py"):
            shutil.copy(plugin, tmp_path)


def problems_of(text: str, path: Path) -> list[Problem]:
    path.write_text(text)
    try:
        return check_plugins(Job.load(path))
    except JobError as error:
        return error.problems


QUICK = ("rich", "quickstart")
"""Together they have every section; the other files are for `make test-all`."""


def entries(pick, wanted=lambda place: True) -> list:
    return [
        pytest.param(
            file,
            place,
            id=f"{file.stem}-{place}",
            marks=[] if file.stem in QUICK else [pytest.mark.slow],
        )
        for file in FILES
        for place in pick(file.read_text())
        if wanted(place)
    ]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_unspoilt_job_is_right(file):
    assert check_plugins(Job.load(file)) == []


@pytest.mark.parametrize(("file", "place"), entries(keys))
def test_a_slip_in_a_key(file, place, tmp_path):
    text = file.read_text()
    section = place.path.rpartition(".")[0]
    siblings = {other.key for other in keys(text) if other.path.rpartition(".")[0] == section}
    for slip in slips(place.key, random.Random(place.path)):
        if slip in siblings:
            continue
        spoilt = text[: place.start] + slip + text[place.end :]
        found = problems_of(spoilt, tmp_path / "job.yaml")
        path = f"{section}.{slip}" if section else slip
        told = [str(problem) for problem in found]
        assert [(p.path, p.nearest) for p in found] == [(path, place.key)], told
        assert found[0].location == Location(str(tmp_path / "job.yaml"), place.line)


MAY_BE_NULL = (
    "training.epochs",
    "training.steps",
    "training.micro_batch_size",
    "training.evaluation_batch_size",
    "training.max_grad_norm",
    "training.compile.dynamic",
    "training.monitor",
    "cluster.hang_timeout_s",
    "training.monitor.mode",
    "data.validation",
    "data.validation.fraction",
    "data.validation.stratify",
    "data.test",
    "tracking.uri",
    "tracking.experiment",
    "deepspeed.zero_optimization.overlap_comm",
)
FREE_TEXT = (
    "tracking.uri",
    "tracking.experiment",
    "storage",
    "strategies.0.file",
    "strategies.0.folder",
)


@pytest.mark.parametrize(("file", "place"), entries(scalars))
def test_a_value_of_the_wrong_type(file, place, tmp_path):
    text = file.read_text()
    wrong = ["{zz: 1}", "[[]]"]
    if place.path not in MAY_BE_NULL:
        wrong.append("null")
    if place.path not in FREE_TEXT and not NAMES_OF_THE_USER.fullmatch(place.path):
        wrong += ["!!str ''", "'12 apples'"]
    for value in wrong:
        spoilt = text[: place.start] + value + text[place.end :]
        found = problems_of(spoilt, tmp_path / "job.yaml")
        told = [str(problem) for problem in found]
        assert found, value
        assert all(f"{p.path}.".startswith(f"{place.path}.") for p in found), (value, told)
        assert {problem.location.line for problem in found} == {place.line}, (value, told)


def is_limited_number(place: Place) -> bool:
    is_number = re.fullmatch(r"[\d.]+(e-?\d+)?", place.key) is not None
    return is_number and re.fullmatch(r"objective(\.\d)?\.(weight|b)", place.path) is None


@pytest.mark.parametrize(("file", "place"), entries(scalars, is_limited_number))
def test_a_number_out_of_range(file, place, tmp_path):
    text = file.read_text()
    found = problems_of(text[: place.start] + "-7" + text[place.end :], tmp_path / "job.yaml")
    assert [problem.path for problem in found] == [place.path], [str(p) for p in found]
    assert found[0].location.line == place.line


CHOICES = re.compile(
    r"kind|engine|training\.precision|training\.monitor\.mode|data\.format|tracking\.log_model"
    r"|cluster\.address|.*\.device|.*\.name|model|optimizer|schedule|data\.source"
)


def is_one_of_a_few(place: Place) -> bool:
    return bool(CHOICES.fullmatch(place.path) and re.fullmatch(r"[a-z_0-9]+", place.key))


@pytest.mark.parametrize(("file", "place"), entries(scalars, is_one_of_a_few))
def test_a_slip_in_a_word_that_has_a_few_values(file, place, tmp_path):
    text = file.read_text()
    for slip in slips(place.key, random.Random(place.path)):
        found = problems_of(text[: place.start] + slip + text[place.end :], tmp_path / "job.yaml")
        told = (slip, [str(problem) for problem in found])
        assert [(p.path, p.nearest) for p in found] == [(place.path, place.key)], told
        assert found[0].location.line == place.line


NO_DURATIONS = ["5", "'5'", "five steps", "1.5 steps", "0 epochs", "-1 steps", "1 week", "steps"]


def is_duration(place: Place) -> bool:
    return re.fullmatch(r"training\.\w+_every", place.path) is not None


@pytest.mark.parametrize("value", [*NO_DURATIONS, "1 epohc"])
@pytest.mark.parametrize(("file", "place"), entries(scalars, is_duration))
def test_a_bad_duration(file, place, value, tmp_path):
    text = file.read_text()
    (problem,) = problems_of(text[: place.start] + value + text[place.end :], tmp_path / "job.yaml")
    assert (problem.path, problem.location.line) == (place.path, place.line)
    assert problem.nearest == ("1 epoch" if value == "1 epohc" else problem.nearest)


REQUIRED = re.compile(r"name|data|model|objective|data\.source|.*\.name|training\.monitor\.metric")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_required_key_that_is_gone(file, tmp_path):
    text = file.read_text()
    for path, _, _ in walk(yaml.compose(text)):
        if not REQUIRED.fullmatch(path) or path.startswith("tracking"):
            continue
        section, _, name = path.rpartition(".")
        values = yaml.safe_load(text)
        target = values
        for part in [part for part in section.split(".") if part]:
            target = target[int(part)] if isinstance(target, list) else target[part]
        del target[name]
        found = problems_of(yaml.safe_dump(values, sort_keys=False), tmp_path / "job.yaml")
        assert path in {problem.path for problem in found}, (path, [str(p) for p in found])
        assert all(problem.location.line > 0 for problem in found)
