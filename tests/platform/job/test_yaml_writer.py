"""What is written as a job is read again with the same values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainwright.job.yaml_reader import read_yaml
from trainwright.job.yaml_writer import yaml_text

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SINGLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    TEXTS,
    st.from_regex(r"[-+]?(0o|0x)?[0-9a-f_.:]{1,6}(e[-+]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(
        ["yes", "No", "on", "~", "null", "NULL", "True", ".inf", "-.INF", ".nan", "<<"]
    ),
)
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key != "<<"), VALUES, min_size=1, max_size=4))
@example({"a": "1e3", "b": 1e3, "c": "0o17", "d": "0b1", "e": "1_000", "f": "12:30:45"})
@example({"a": 1e-5, "b": 1e300, "c": -0.0, "d": float("inf"), "e": 10**30})
@example({"key": "a\r\nb\n", "other": " lead and trail ", "1e3": {"~": []}})
def test_values_survive(values: dict[str, Any]) -> None:
    again = read_yaml(yaml_text(values), "job.yaml").values
    assert _typed(again) == _typed(values)


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, _typed(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [_typed(item) for item in value]
    return type(value).__name__, repr(value)


def test_it_is_readable() -> None:
    shared = [1, 2]
    text = yaml_text({"name": "a", "model": {"name": "mlp", "hidden": shared}, "more": shared})
    assert text.splitlines()[:3] == ["name: a", "model:", "  name: mlp"]
    assert "&" not in text  # no anchors
    assert yaml_text({"title": "日本"}) == "title: 日本\n"


@pytest.mark.parametrize("text", ["1e3", "0o17", "yes", "2020-01-01", "~"])
def test_quotes_stand_where_they_are_needed(text: str) -> None:
    assert yaml_text({"a": text}) == f"a: '{text}'\n"
