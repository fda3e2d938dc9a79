"""Whatever is written into a job file ends in a job or in a JobError with a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from trainwright.errors import JobError, Problem
from trainwright.job import Job
from trainwright.job.document import Document
from trainwright.job.identity import run_name
from trainwright.job.yaml_reader import read_yaml

RICH = read_yaml((Path(__file__).parent / "rich.yaml").read_text(), "rich.yaml").values

signs = st.text(alphabet="ab01:-{}[],&*!#|>'\"%@`\t\n .~?$\\\x00é", max_size=40)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.floats(),
    st.sampled_from(["digits", "1 epoch", "validation/loss", "memory://x", "${HOME}", "a.csv", ""]),
    st.text(max_size=4),
)
known = st.sampled_from(["name", "source", "fraction", "weight", "options", "epochs", "0", "type"])
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(known, inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple = ()) -> list[tuple]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, item in items:
        found.append((*path, key))
        if isinstance(item, (dict, list)):
            found += places(item, (*path, key))
    return found


def with_value(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_value(value[path[0]], path[1:], new)
    return copy


def accepted(make) -> Any:
    """What ``make`` makes; None if it refuses, and then with problems that have a place."""
    problems: list[Problem] = []
    try:
        return make()
    except JobError as error:
        problems = error.problems
    assert problems
    assert all(problem.message and problem.location for problem in problems)
    return None


@given(signs)
@settings(max_examples=400, deadline=None)
def test_any_text(text):
    accepted(lambda: read_yaml(text, "job.yaml"))


@given(signs)
@settings(max_examples=200, deadline=None)
def test_any_override(text):
    accepted(lambda: Document.read("name: x\ndata: {source: d}\nl: [1]\n", "j", [text], {}))


@given(st.sampled_from(places(RICH)), values)
@settings(max_examples=250, deadline=None)
def test_any_value_at_any_place_of_a_job(place, value):
    job = accepted(lambda: Job.from_dict(with_value(RICH, place, value), environ={}))
    if job is not None:
        assert run_name(job, data_fingerprint="f", plugin_files={})


@given(st.sampled_from(places(RICH)), st.text(alphabet="abcdef012:[]{},' ", max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_override_of_a_job(place, text):
    override = f"{'.'.join(map(str, place))}={text}"
    accepted(lambda: Job.from_dict(RICH, overrides=[override], environ={}))
